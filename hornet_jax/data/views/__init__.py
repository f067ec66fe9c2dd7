"""What is seen of an image in training and evaluation, and of what is told of it."""
