"""Where the time of a run goes."""

import contextlib
import json
import time
from collections.abc import Iterator

import jax
from etils import epath

from hornet_jax.train.files import write_file


class Clock:
  """Times the steps of a run, over all its starts.

  Goodput after step s is P / W:

  - W is the wall time since the compilation of the run's first start, the time in which no
    program ran included.
  - P is the part of it that went into the steps 1 to s, each counted once, as it was done
    last. What a step takes is its time in the loop: waiting for its input belongs to it, and
    a skipped update is a step.

  So compiling, restoring, evaluating, saving, waiting for machines, and steps that were done
  after the checkpoint from which the run was resumed are not in P. `clock.json` in the
  workdir holds when the run started, and P at every step that was saved. A run that is
  continued after it was complete counts the time between.
  """

  def __init__(
    self, workdir: epath.Path, start_step: int, batch_size: int, peak_rate: float | None = None
  ):
    """Opens the clock to go on after `start_step` updates; nothing is timed before `start`.

    Args:
      workdir: of the run.
      start_step: number of updates that are kept.
      batch_size: images in a step.
      peak_rate: images/s at an MFU of 1; None where that is not known.
    """
    self._path = workdir / "clock.json"
    self._batch_size = batch_size
    self._peak_rate = peak_rate
    known = json.loads(self._path.read_text()) if self._path.exists() else {}
    self._started = known.get("started", time.time())
    saved = {int(step): value for step, value in known.get("seconds_in_steps", {}).items()}
    self._saved = {step: value for step, value in saved.items() if step <= start_step}
    self._before = self._saved[max(self._saved)] if self._saved else 0.0
    self._begin = self._paused = self._waited = 0.0
    self._last = (start_step, self._before, 0.0)
    self._write()

  def start(self) -> None:
    """The first step begins."""
    self._begin = time.perf_counter()

  @contextlib.contextmanager
  def waiting(self) -> Iterator[None]:
    """What happens inside is waiting for input."""
    begin = time.perf_counter()
    yield
    self._waited += time.perf_counter() - begin

  @contextlib.contextmanager
  def paused(self) -> Iterator[None]:
    """What happens inside, such as an evaluation, belongs to no step."""
    begin = time.perf_counter()
    yield
    self._paused += time.perf_counter() - begin

  @property
  def _in_steps(self) -> float:
    """P, in seconds."""
    return self._before + time.perf_counter() - self._begin - self._paused

  def read(self, step: int) -> dict[str, float]:
    """What is logged of the time.

    Args:
      step: the newest that was done.

    Returns:
      Since this was last asked: `images_per_second`; `input_wait`, the share of the steps'
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
    """Keeps P for a run that is resumed after this step, all of which is done."""
    self._saved[step] = round(self._in_steps, 3)
    self._write()

  def _write(self) -> None:
    if jax.process_index() == 0:
      content = {"started": self._started, "seconds_in_steps": self._saved}
      write_file(self._path, json.dumps(content) + "\n")
