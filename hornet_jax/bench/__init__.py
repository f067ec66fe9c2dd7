"""This package times code; every figure is a ratio of runs interleaved in one process."""
