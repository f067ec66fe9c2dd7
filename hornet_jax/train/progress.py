"""What a person sees while a run trains."""

import logging
import sys
from collections.abc import Mapping

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

  def __enter__(self) -> "Progress":
    self._redirect.__enter__()
    return self

  def __exit__(self, *exc_info) -> None:
    self._bar.close()
    self._redirect.__exit__(*exc_info)

  def step(self) -> None:
    """Counts one update."""
    self._bar.update(self._batch_size)

  def report(self, step: int, values: Mapping[str, float]) -> None:
    """Shows the newest training metrics."""
    loss, rate = values["train/loss"], values["train/images_per_second"]
    waiting = 100 * values["train/input_wait"]
    self._bar.set_postfix_str(f"loss {loss:.4f}, input {waiting:.0f} %")
    if self._bar.disable:
      left = (self._total - step) * self._batch_size / rate
      _logger.info(
        "step %d of %d: loss %.4f, %.0f images/s, %.0f %% waiting for input, %.0f s left",
        *(step, self._total, loss, rate, waiting, left),
      )
