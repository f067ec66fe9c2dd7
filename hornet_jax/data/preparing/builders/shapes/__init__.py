"""This package builds made-up scenes of shapes."""
