"""ImageNet-22K, from its archives."""
