"""Datasets of images and the things on them, from annotations in COCO's format."""
