"""A command on several hosts gets its arguments here; where one process fails, all end."""

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
from hornet_jax.cli.failure import explained, report
from hornet_jax.errors import LostPeerError, StalledError
from hornet_jax.exit_status import PERSON, describe, exit_status, is_expected
from hornet_jax.parallel.cluster import Hosts
from hornet_jax.parallel.distributed import initialize
from hornet_jax.parallel.rendezvous import Rendezvous
from hornet_jax.runs.result import end_all

_logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser, timeout: int = Hosts.timeout) -> None:
  """Adds the arguments of several hosts; on Cloud TPU and SLURM none is needed.

  Args:
    parser: parser of the command.
    timeout: default of `--timeout`, in seconds.
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
def joined(args: argparse.Namespace, *, saves: bool = False) -> Iterator[Rendezvous | None]:
  """Brings all processes together; an error in one of them ends them all, with its text.

  Args:
    args: parsed arguments of the command.
    saves: whether SIGTERM stops the run after a step instead of ending the process.

  Yields:
    The connections to the other processes; None where this process is the only one.
  """
  hosts = Hosts(args.coordinator, args.num_processes, args.process_id, args.timeout, args.heartbeat)
  rendezvous = initialize(hosts, _end, saves=saves)
  if rendezvous is None:
    try:
      yield None
    except StalledError as error:
      _exit(report(error))  # a reader that hangs would keep the process
    return
  _speak_for_all(rendezvous.process)
  _logger.info("%d processes: %s", len(rendezvous.hosts), ", ".join(rendezvous.hosts))
  try:
    yield rendezvous
    rendezvous.gather(None)  # process 0 may still write a report, and fail
  except BaseException as error:
    _fail(rendezvous, explained(error))
  rendezvous.leave()


@contextlib.contextmanager
def deadline(seconds: float, text: str) -> Iterator[None]:
  """Ends the process if the body of the `with` statement takes longer.

  Args:
    seconds: time that the body may take.
    text: message with which the process then ends.
  """
  timer = threading.Timer(seconds, _end, [text, PERSON])
  timer.daemon = True
  timer.start()
  try:
    yield
  finally:
    timer.cancel()


def _speak_for_all(number: int) -> None:
  """Lets process 0 alone log information; the others only warn."""
  if number:
    logging.getLogger("hornet_jax").setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
      handler.setFormatter(logging.Formatter(f"process {number}: %(message)s"))


def _fail(rendezvous: Rendezvous, error: BaseException) -> NoReturn:
  """Tells the others and ends at once: at an orderly end JAX would wait for them."""
  await_reason(rendezvous, error)
  with contextlib.suppress(OSError, ValueError):  # nobody may listen any more
    if is_expected(error):
      report(error)
    else:
      traceback.print_exception(error)
  rendezvous.leave(describe(error), exit_status(error))
  _exit(exit_status(error))


def await_reason(rendezvous: Rendezvous, error: BaseException) -> None:
  """Waits for news of another process whose failure may have caused this error.

  If one has failed, this does not return: the connection to it ends this process, with the
  reason. An expected error, such as bad input, has its own cause: then this returns at once.
  """
  error = explained(error)
  if isinstance(error, LostPeerError) or not is_expected(error):
    rendezvous.wait_for_news()


def _end(text: str, status: int) -> None:
  """Ends the process from any thread, with one line and the run's result."""
  end_all(status, text)
  with contextlib.suppress(OSError, ValueError):  # nobody may listen any more
    sys.stderr.write(f"hornet: error: {text}\n")  # at once: others write to it, too
  _exit(status)


def _exit(status: int) -> NoReturn:
  for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(OSError, ValueError):
      stream.flush()
  os._exit(status)
