"""This module writes a trace of a few steps, for xprof."""

import contextlib
import itertools
import logging
import pathlib
import tempfile
from collections.abc import Generator, Iterator

import jax
from etils import epath

from hornet_jax.files import make_folder, write_file
from hornet_jax.runs.clock import Clock

WARM_UP_STEPS = 5  # that are not traced: the first ones fill the pipelines

_logger = logging.getLogger(__name__)


def traced(
  steps: range, num_traced: int, folder: epath.Path, clock: Clock
) -> Generator[int, None, None]:
  """Yields `steps` to a loop, and writes a trace of what the loop does in some of them.

  The host runs a step ahead of the devices, so one more iteration than `num_traced` is
  traced: the devices do that many steps whole. The first process traces its own devices.
  Closing the generator writes what was traced so far. A trace that fails ends no run.

  Args:
    steps: steps that the loop does.
    num_traced: number of steps after the first `WARM_UP_STEPS` to trace; 0 for none.
    folder: folder for the trace, in the layout of xprof and TensorBoard; local or `gs://`.
    clock: clock of the run, which pauses while the trace is written.
  """
  rest = iter(steps)
  if num_traced and jax.process_index() == 0:
    yield from itertools.islice(rest, WARM_UP_STEPS)
    if len(steps) > WARM_UP_STEPS:
      with _trace(folder, clock):
        for step in itertools.islice(rest, num_traced + 1):
          with jax.profiler.StepTraceAnnotation("train", step_num=step):
            yield step
    else:
      _logger.warning(
        "no step was traced: %d are left, the first %d never are", len(steps), WARM_UP_STEPS
      )
  yield from rest


@contextlib.contextmanager
def _trace(folder: epath.Path, clock: Clock) -> Iterator[None]:
  # The profiler writes to disk only.
  with contextlib.ExitStack() as stack:
    with clock.paused(), _never_ending_the_run():
      local = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
      jax.profiler.start_trace(local)
      stack.callback(_finish, pathlib.Path(local), folder, clock)
    yield


def _finish(local: pathlib.Path, folder: epath.Path, clock: Clock) -> None:
  with clock.paused(), _never_ending_the_run():
    jax.profiler.stop_trace()
    _copy(local, folder)
    _logger.info("trace of the steps: %s (xprof --logdir=%s)", folder, folder)


@contextlib.contextmanager
def _never_ending_the_run() -> Iterator[None]:
  try:
    yield
  except Exception as error:  # of whatever kind: a run costs more than its trace
    _logger.warning("The run goes on without a trace: %s", error)


def _copy(source: pathlib.Path, target: epath.Path) -> None:
  for path in source.rglob("*"):
    if path.is_file():
      copy = target / path.relative_to(source).as_posix()
      make_folder(copy.parent)
      write_file(copy, path.read_bytes())
