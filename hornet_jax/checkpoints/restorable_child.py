"""Restores one checkpoint and prints why where that fails; started by `restorable.py`."""

import signal
import sys


def main(path: str) -> int:
  """Returns the exit status: 1 where the checkpoint cannot be restored."""
  signal.signal(signal.SIGTERM, signal.SIG_IGN)  # meant for the run, which waits for this process
  # Late, as they take seconds.
  from etils import epath

  from hornet_jax.checkpoints.restore import check_restorable, reason_of

  try:
    check_restorable(epath.Path(path))
  except Exception as error:
    print(reason_of(error))
    return 1
  return 0


if __name__ == "__main__":
  sys.exit(main(sys.argv[1]))
