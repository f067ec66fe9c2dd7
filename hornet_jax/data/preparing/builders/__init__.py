"""This package holds TFDS builders of datasets that TFDS lacks.

One package each: TFDS looks for a builder's metadata in the package that holds it.
The modules import TensorFlow through TFDS; only preparation imports them.
"""
