"""This module measures where the time of a run goes."""

import contextlib
import json
import logging
import os
import pathlib
import time
from collections.abc import Iterator

import jax
from etils import epath

from hornet_jax.errors import InputError
from hornet_jax.files import read_file, write_file

NAME = "clock.json"
_START_TIME = 19  # of the fields of /proc/PID/stat after the name, see proc(5)
_IMPORTED = time.time()

_logger = logging.getLogger(__name__)


class Clock:
  """A `Clock` times the steps of a run, over all its starts.

  Goodput after step s is P / W:

  - W is the wall time since the run's first start began, the time in which no program ran
    included. It began with the process of the command; a call of `train` from Python began
    with the call.
  - P is the part of it that went into the steps 1 to s, each counted once, as it was done
    last. What a step takes is its time in the loop: waiting for its input belongs to it, and
    a skipped update is a step.

  So importing, compiling, restoring, evaluating, saving, waiting for machines, and steps that
  were done after the checkpoint from which the run was resumed are not in P. Input waits are:
  a run may have a goodput near 1 and an input wait of a half, which is why both are logged.
  `clock.json` in the workdir holds when the run started, and P at every step that was saved;
  a run goes on where it cannot be written or read. A run that is continued after it was
  complete counts the time between.
  """

  def __init__(
    self,
    workdir: epath.Path,
    start_step: int,
    batch_size: int,
    peak_rate: float | None = None,
    began: float | None = None,
  ):
    """Opens the clock to go on after `start_step` updates; nothing is timed before `start`.

    Args:
      workdir: folder of the run.
      start_step: number of updates that are kept.
      batch_size: images in a step.
      peak_rate: images/s at an MFU of 1; None where that is not known.
      began: time at which this start of the run began, in seconds since 1970; None for now.
    """
    self._path = workdir / NAME
    self._batch_size = batch_size
    self._peak_rate = peak_rate
    self._lost = False
    started, saved = _read(self._path)
    self._started = started or began or time.time()
    self._saved = {step: value for step, value in saved.items() if step <= start_step}
    self._before = self._saved[max(self._saved)] if self._saved else 0.0
    self._begin = self._paused = self._waited = 0.0
    self._last = (start_step, self._before, 0.0)
    self._write()

  def start(self) -> None:
    """Starts to time the steps."""
    self._begin = time.perf_counter()

  @contextlib.contextmanager
  def waiting(self) -> Iterator[None]:
    """Counts the time of what happens inside as waiting for input."""
    begin = time.perf_counter()
    yield
    self._waited += time.perf_counter() - begin

  @contextlib.contextmanager
  def paused(self) -> Iterator[None]:
    """Leaves the time of what happens inside, such as an evaluation, out of the steps."""
    begin = time.perf_counter()
    yield
    self._paused += time.perf_counter() - begin

  @property
  def _in_steps(self) -> float:
    """Returns P, in seconds."""
    return self._before + time.perf_counter() - self._begin - self._paused

  def read(self, step: int) -> dict[str, float]:
    """Returns the figures of time that are logged.

    Args:
      step: newest step that was done.

    Returns:
      Since the last call: `images_per_second`; `input_wait`, the share of the steps'
      time that the loop waited for the next batch; `mfu`, where the peak is known. And
      `goodput` of the run.
    """
    last_step, last_in_steps, last_waited = self._last
    in_steps = self._in_steps
    self._last = (step, in_steps, self._waited)
    seconds = in_steps - last_in_steps
    rate = (step - last_step) * self._batch_size / seconds
    values = {
      "images_per_second": rate,
      "input_wait": (self._waited - last_waited) / seconds,
      # Wall clocks are set now and then.
      "goodput": in_steps / max(time.time() - self._started, in_steps),
    }
    if self._peak_rate is not None:
      values["mfu"] = rate / self._peak_rate
    return values

  def save(self, step: int) -> None:
    """Saves P, for a run that is resumed after this step; the step must be done on the devices."""
    self._saved[step] = round(self._in_steps, 3)
    self._write()

  def _write(self) -> None:
    if jax.process_index() > 0:
      return
    content = {"started": self._started, "seconds_in_steps": self._saved}
    try:
      write_file(self._path, json.dumps(content) + "\n")
      self._lost = False
    except (OSError, InputError) as error:  # a run costs more than its times
      if not self._lost:
        _logger.warning("%s The run goes on without its times.", error)
      self._lost = True


def start_time(workdir: epath.Path) -> float | None:
  """Reads when a run was started first, in seconds since 1970; None where that is not known."""
  return _read(workdir / NAME)[0]


def _read(path: epath.Path) -> tuple[float | None, dict[int, float]]:
  """Reads when the run started, if that is known, and P at its saved steps."""
  try:
    if not path.exists():
      return None, {}
    known = json.loads(read_file(path))
    saved = {int(step): float(value) for step, value in known["seconds_in_steps"].items()}
    return float(known["started"]), saved
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    _logger.warning("%s cannot be read, its times are lost: %s", path, error)
    return None, {}


def process_start() -> float:
  """Returns when this process started, in seconds since 1970; now where the system does not say."""
  try:
    # The name, in brackets, may hold spaces.
    fields = pathlib.Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    since_boot = int(fields[_START_TIME]) / os.sysconf("SC_CLK_TCK")
    return time.time() - max(time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot, 0.0)
  except (OSError, ValueError, IndexError, AttributeError):  # not Linux
    return _IMPORTED
