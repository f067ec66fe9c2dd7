"""ImageNet-1K, ImageNet-22K and the sets for evaluation, from their archives."""
