"""This package builds scikit-learn's handwritten digits."""
