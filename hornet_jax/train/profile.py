"""A trace of a few steps, for xprof."""

import contextlib
import itertools
import logging
import pathlib
import tempfile
from collections.abc import Generator, Iterator

import jax
from etils import epath

from hornet_jax.train.clock import Clock
from hornet_jax.train.files import make_folder, write_file

WARM_UP_STEPS = 5  # that are not traced: the first ones fill the pipelines

_logger = logging.getLogger(__name__)


def traced(
  steps: range, num_traced: int, folder: epath.Path, clock: Clock
) -> Generator[int, None, None]:
  """Yields `steps` to a loop, and writes a trace of what the loop does in some of them.

  The host runs a step ahead of the devices, so one more iteration than `num_traced` is
  traced: the devices do that many steps whole. The first process traces its own devices.
  Closing the generator writes what was traced so far.

  Args:
    steps: that the loop does.
    num_traced: number of steps after the first `WARM_UP_STEPS` to trace; 0 for none.
    folder: for the trace, in the layout of xprof and TensorBoard; local or `gs://`.
    clock: pauses while the trace is written.
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
  with tempfile.TemporaryDirectory() as local:
    with clock.paused():
      jax.profiler.start_trace(local)
    try:
      yield
    finally:
      with clock.paused():
        jax.profiler.stop_trace()
        _copy(pathlib.Path(local), folder)
      _logger.info("trace of the steps: %s (xprof --logdir=%s)", folder, folder)


def _copy(source: pathlib.Path, target: epath.Path) -> None:
  for path in source.rglob("*"):
    if path.is_file():
      copy = target / path.relative_to(source).as_posix()
      make_folder(copy.parent)
      write_file(copy, path.read_bytes())
