"""This package builds made-up scenes of shapes, thing by thing."""
