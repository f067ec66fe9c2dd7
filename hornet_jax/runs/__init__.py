"""This package keeps what a run leaves in its workdir for people and programs."""
