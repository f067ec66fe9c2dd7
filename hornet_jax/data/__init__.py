"""This package prepares datasets, decodes and augments images, and feeds them to a run."""
