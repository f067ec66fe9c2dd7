"""Exits with 0 where a run is complete: `python complete.py WORKDIR`, local or gs://."""

import sys

from etils import epath


def is_complete(workdir: str) -> bool:
  """`hornet train` writes the report when the last step is done, and never before."""
  return (epath.Path(workdir) / "report.html").exists()


if __name__ == "__main__":
  sys.exit(not is_complete(sys.argv[1]))
