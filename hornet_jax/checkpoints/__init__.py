"""Checkpoints: saved in the background, verified by checksums, restored newest first."""
