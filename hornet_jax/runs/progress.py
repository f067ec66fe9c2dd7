"""This module shows a person how far a run is."""

import logging
import shutil
import sys
from collections.abc import Mapping

import jax
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

_logger = logging.getLogger(__name__)
_WIDE = 110  # columns of the usual bar
_NARROW = "{percentage:.0f} %, {rate_fmt}, {remaining} left{postfix}"


class Progress:
  """`Progress` shows images/s and time left: a bar on a terminal, elsewhere a line now and then."""

  def __init__(self, total_steps: int, start_step: int, batch_size: int):
    self._total = total_steps
    self._batch_size = batch_size
    # Where the usual bar would be cut off, its numbers alone.
    self._is_narrow = shutil.get_terminal_size().columns < _WIDE
    self._bar = tqdm(
      total=total_steps * batch_size,
      initial=start_step * batch_size,
      unit=" images",
      unit_scale=True,
      dynamic_ncols=True,
      bar_format=_NARROW if self._is_narrow else None,
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
    """Shows the newest training metrics; `Clock` defines those of time."""
    loss, rate = values["train/loss"], values["train/images_per_second"]
    waiting, goodput = 100 * values["train/input_wait"], 100 * values["train/goodput"]
    shown = f"loss {loss:.4f}, input {waiting:.0f} %"
    self._bar.set_postfix_str(shown if self._is_narrow else f"{shown}, goodput {goodput:.0f} %")
    if self._bar.disable:
      left = (self._total - step) * self._batch_size / rate
      _logger.info(
        "step %d of %d: loss %.4f, %.0f images/s, %.0f %% waiting for input, goodput %.0f %%, "
        "%.0f s left",
        *(step, self._total, loss, rate, waiting, goodput, left),
      )
