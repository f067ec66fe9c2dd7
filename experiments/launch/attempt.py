"""Runs a training command once, for schedulers that look at nothing but the exit status.

    python attempt.py [--forward_term] WORKDIR COMMAND...

0: the run is complete. 42: it is saved, but not complete: start the same again. Else: failed.
The command itself ends with 0 in both of the first cases, as nothing went wrong.
"""

import argparse
import signal
import subprocess
import sys
import time

from complete import is_complete

AGAIN = 42  # xpk and skypilot.yaml restart on it


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument(
    "--forward_term",
    action="store_true",
    help="pass SIGTERM on, where the scheduler sends it to this process alone (Kubernetes)",
  )
  parser.add_argument("--patience", type=float, default=120, help="seconds to wait for the report")
  parser.add_argument("workdir")
  parser.add_argument("command", nargs=argparse.REMAINDER)
  args = parser.parse_args()

  terminated = []

  def terminate(number, frame):
    terminated.append(number)
    if args.forward_term:
      process.send_signal(number)

  process = subprocess.Popen(args.command)
  # This process outlives the command, to say what became of it.
  signal.signal(signal.SIGTERM, terminate)
  status = process.wait()
  if status:
    return 128 - status if status < 0 else status  # by a signal: as a shell has it

  # The first host writes the report while the others have ended already.
  deadline = time.monotonic() + args.patience
  while not is_complete(args.workdir):
    if terminated or time.monotonic() > deadline:
      return AGAIN
    time.sleep(1)
  return 0


if __name__ == "__main__":
  sys.exit(main())
