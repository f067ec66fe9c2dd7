"""What a person sees while a run trains."""

import contextlib
import logging
import sys
import time
from collections.abc import Iterator, Mapping

import jax
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

_logger = logging.getLogger(__name__)


class Progress:
  """A bar with images/s and time left on a terminal; elsewhere a line now and then."""

  def __init__(self, total_steps: int, start_step: int, batch_size: int):
    self._total = total_steps
    self._batch_size = batch_size
    self._bar = tqdm(
      total=total_steps * batch_size,
      initial=start_step * batch_size,
      unit=" images",
      unit_scale=True,
      dynamic_ncols=True,
      disable=not sys.stderr.isatty() or jax.process_index() > 0,
    )
    self._redirect = logging_redirect_tqdm()
    self._last = (start_step, time.perf_counter())

  def __enter__(self) -> "Progress":
    self._redirect.__enter__()
    return self

  def __exit__(self, *exc_info) -> None:
    self._bar.close()
    self._redirect.__exit__(*exc_info)

  def step(self) -> None:
    """Counts one update."""
    self._bar.update(self._batch_size)

  @contextlib.contextmanager
  def paused(self) -> Iterator[None]:
    """Leaves what happens inside, such as an evaluation, out of the rate."""
    start = time.perf_counter()
    yield
    step, last = self._last
    self._last = (step, last + time.perf_counter() - start)

  def rate(self, step: int) -> float:
    """Images per second since this was last asked."""
    last_step, last_time = self._last
    now = time.perf_counter()
    self._last = (step, now)
    return (step - last_step) * self._batch_size / (now - last_time)

  def report(self, step: int, values: Mapping[str, float]) -> None:
    """Shows the newest training metrics."""
    loss, rate = values["train/loss"], values["train/images_per_second"]
    self._bar.set_postfix_str(f"loss {loss:.4f}")
    if self._bar.disable:
      left = (self._total - step) * self._batch_size / rate
      _logger.info(
        "step %d of %d: loss %.4f, %.0f images/s, %.0f s left", step, self._total, loss, rate, left
      )
