"""The bar of a run fits the terminal, whole."""

import io
import re

import pytest

from hornet_jax.runs.progress import Progress

VALUES = {
  "train/loss": 12.3456,
  "train/images_per_second": 12345.6,
  "train/input_wait": 0.21,
  "train/goodput": 0.99,
}


class Terminal(io.StringIO):
  def isatty(self):
    return True


@pytest.mark.parametrize("columns", [60, 140])
def test_the_bar_fits(columns, monkeypatch):
  terminal = Terminal()
  monkeypatch.setattr("sys.stderr", terminal)
  monkeypatch.setenv("COLUMNS", str(columns))
  monkeypatch.setattr("tqdm.std._screen_shape_wrapper", lambda: lambda _: (columns, 24))
  with Progress(10_000, 0, 128) as progress:
    for step in range(1, 4):
      progress.step()
      progress.report(step, VALUES)
  lines = [line for line in re.split(r"[\r\n]+", terminal.getvalue()) if "loss" in line]
  assert lines
  assert max(map(len, lines)) <= columns
  shown = lines[-1].rstrip()
  assert "images/s" in shown
  whole = "loss 12.3456, input 21 %" if columns == 60 else "loss 12.3456, input 21 %, goodput 99 %]"
  assert shown.endswith(whole)
