"""This package builds ImageNet-22K from its archives."""
