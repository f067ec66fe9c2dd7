"""What is timed, and how: every figure is a ratio of runs interleaved in one process."""
