"""This module shows what a benchmark found, as a table or as JSON."""

import dataclasses
import json
import os
import pathlib
import platform
import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from tabulate import tabulate

from hornet_jax.bench.rounds import ratio
from hornet_jax.versions import versions

_VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2"}


@dataclasses.dataclass(frozen=True)
class Result:
  """A `Result` is a table with a title and notes.

  Attributes:
    title: name of what was measured, with its unit.
    rows: rows as column -> text or number, the same columns in each; None for an empty cell.
    notes: lines beneath the table.
  """

  title: str
  rows: list[dict[str, Any]]
  notes: Sequence[str] = ()

  def table(self) -> str:
    """Returns the table for a person."""
    cells = [{name: _shown(cell) for name, cell in row.items()} for row in self.rows]
    numbers = [isinstance(cell, int | float) for cell in self.rows[0].values()]
    align = ["right" if number else "left" for number in numbers]
    body = tabulate(cells, headers="keys", disable_numparse=True, colalign=align)
    return "\n".join([self.title, body, *self.notes, _environment_line()])

  def json(self) -> str:
    """Returns the JSON for a program."""
    content = {"title": self.title, "rows": self.rows, "notes": list(self.notes)}
    return json.dumps(content | environment(), indent=2)


def timed(seconds: Mapping[str, Sequence[float]], baseline: str) -> list[dict[str, Any]]:
  """Makes a row for each candidate: name, median, fastest and slowest in ms, ratio to the baseline.

  The ratio is the median over rounds of baseline time / time: above 1 is faster.
  """
  return [
    {
      "by": name,
      "median ms": 1e3 * statistics.median(times),
      "min ms": 1e3 * min(times),
      "max ms": 1e3 * max(times),
      f"to {baseline}": ratio(list(seconds[baseline]), list(times)),
    }
    for name, times in seconds.items()
  ]


def environment() -> dict[str, Any]:
  """Describes the machine and the versions that it is measured with."""
  device = jax.devices()[0]
  return {
    "device": f"{len(jax.devices())} x {device.device_kind} ({device.platform})",
    "host": f"{platform.system()}, {os.cpu_count()} cores of {processor()}",
    "versions": versions(),
  }


def processor() -> str:
  """Returns the processor's name and widest vectors; elsewhere than on Linux its architecture."""
  try:
    text = pathlib.Path("/proc/cpuinfo").read_text()
  except OSError:
    return platform.machine()
  name = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
  vectors = [shown for flag, shown in _VECTORS.items() if re.search(rf"\b{flag}\b", text)]
  return ", ".join([name[1] if name else platform.machine(), *vectors[:1]])


def _environment_line() -> str:
  where = environment()
  libraries = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
  return f"{where['device']}; {where['host']}; {libraries}"


def _shown(cell: Any) -> str:
  if cell is None:
    return ""
  if isinstance(cell, int):
    return f"{cell:,}"
  if isinstance(cell, float):
    return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.3g}"
  return str(cell)
