"""This package builds ADE20K from its archive."""
