"""This room reads and writes whole trained models, and starts runs from them."""
