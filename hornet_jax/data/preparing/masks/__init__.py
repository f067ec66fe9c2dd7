"""Datasets of images and masks: ADE20K, Cityscapes, folders of one's own."""
