"""Datasets: preparation, decoding, augmentation and the input pipeline."""
