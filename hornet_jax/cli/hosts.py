"""The arguments of several hosts, and what becomes of the others where one process fails."""

import argparse
import contextlib
import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import NoReturn

from hornet_jax.cli.arguments import positive_int
from hornet_jax.cli.failure import EXPECTED, describe, report
from hornet_jax.errors import InputError, StalledError
from hornet_jax.train.hosts import Hosts, come_together
from hornet_jax.train.roll_call import RollCall

_logger = logging.getLogger(__name__)

_NEWS_SECONDS = 2.0  # within which the death of another process is known here


def add_arguments(parser: argparse.ArgumentParser, timeout: int = Hosts.timeout) -> None:
  """Adds the arguments; on Cloud TPU and SLURM none is needed.

  Args:
    parser: of the command.
    timeout: default of `--timeout`.
  """
  group = parser.add_argument_group(
    "several hosts", "one process a host; on Cloud TPU, GKE and SLURM all is known without"
  )
  group.add_argument(
    "--coordinator", metavar="HOST:PORT", help="of process 0; port + 1 is used too"
  )
  group.add_argument("--num_processes", type=positive_int, metavar="N")
  group.add_argument("--process_id", type=int, metavar="I", help="of this process, 0 to N - 1")
  group.add_argument(
    "--timeout", type=positive_int, default=timeout, help="seconds to wait for all (%(default)s)"
  )
  group.add_argument(
    "--heartbeat",
    type=positive_int,
    default=Hosts.heartbeat,
    help="seconds of silence after which a host counts as dead (%(default)s)",
  )


@contextlib.contextmanager
def joined(args: argparse.Namespace, *, saves: bool = False) -> Iterator[RollCall | None]:
  """Brings all processes together; an error in one of them ends them all, with its text.

  Args:
    args: of the command.
    saves: whether SIGTERM stops after a step instead of ending the process.

  Yields:
    The connections to the others; None where this process is the only one.
  """
  hosts = Hosts(args.coordinator, args.num_processes, args.process_id, args.timeout, args.heartbeat)
  try:
    roll_call = come_together(hosts, _end, saves=saves)
  except RuntimeError as error:
    if "before any JAX calls" not in str(error) or hosts.coordinator:
      raise InputError(f"the processes cannot come together: {error}") from error
    _logger.info("JAX was used before in this process: it goes on alone")
    roll_call = None
  if roll_call is None:
    try:
      yield None
    except StalledError as error:
      _exit(report(error))  # a reader that hangs would keep the process
    return
  _speak_for_all(roll_call.process)
  _logger.info("%d processes: %s", len(roll_call.hosts), ", ".join(roll_call.hosts))
  try:
    yield roll_call
    roll_call.gather(None)  # process 0 may still write a report, and fail
  except BaseException as error:
    _fail(roll_call, error)
  roll_call.leave()


@contextlib.contextmanager
def deadline(seconds: float, text: str) -> Iterator[None]:
  """Ends the process where what happens inside takes longer."""
  timer = threading.Timer(seconds, _end, [text])
  timer.daemon = True
  timer.start()
  yield
  timer.cancel()


def _speak_for_all(number: int) -> None:
  """What all would say is said by process 0; the others only warn."""
  if number:
    logging.getLogger("hornet_jax").setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
      handler.setFormatter(logging.Formatter(f"process {number}: %(message)s"))


def _fail(roll_call: RollCall, error: BaseException) -> NoReturn:
  """Tells the others and ends at once: at an orderly end JAX would wait for them."""
  if not isinstance(error, EXPECTED):
    # A computation that broke off because another process died: the one that watches says so.
    threading.Event().wait(_NEWS_SECONDS)
    traceback.print_exception(error)
    status = 1
  else:
    status = report(error)
  roll_call.leave(describe(error).removeprefix("error: "))
  _exit(status)


def _end(text: str) -> None:
  print(f"hornet: error: {text}", file=sys.stderr)
  _exit(1)


def _exit(status: int) -> NoReturn:
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(status)
