"""Evaluation of an ImageNet-1K classifier on ImageNet and the sets around it."""
