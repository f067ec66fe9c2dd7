"""Training: a sharded step, a loop around it, checkpoints, evaluation."""
