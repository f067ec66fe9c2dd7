"""What a compiled program needs of a device's memory, read from the compiler's reports."""

import dataclasses
import re

_TOTAL = re.compile(r"^Memory Space: default.*\nTotal bytes: (\d+)", re.MULTILINE)
_PARAMETER = re.compile(
  r"^allocation \d+: size (\d+),(?! color).* parameter \d+, shape \|(\w+)\[", re.MULTILINE
)
_EXCEEDED = re.compile(r"\(([\d.]+)([KMGT]?)\) exceeds available HBM")
_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


@dataclasses.dataclass(frozen=True)
class Memory:
  """Of one device, in bytes, as the compiler lays it out.

  Attributes:
    total: the peak.
    arguments: what the program is given: the state and its part of the batch.
    images: those of them that are images, in bytes of pixels.
  """

  total: int
  arguments: int
  images: int


def read_memory(usage_report: str, buffer_assignment: str) -> Memory:
  """Reads the two reports that the compiler writes before it generates code.

  Args:
    usage_report: `...memory-usage-report.txt`.
    buffer_assignment: `...buffer-assignment.txt`.

  Raises:
    ValueError: if they are not written as known.
  """
  total = _TOTAL.search(usage_report)
  arguments = [(int(size), kind) for size, kind in _PARAMETER.findall(buffer_assignment)]
  if total is None or not arguments:
    raise ValueError(f"the compiler's memory report is of an unknown form: {usage_report[:200]!r}")
  images = sum(size for size, kind in arguments if kind == "u8")
  return Memory(int(total[1]), sum(size for size, _ in arguments), images)


def read_exceeded(message: str) -> int | None:
  """Bytes that a program wants for temporary arrays, from the compiler's error; else None."""
  found = _EXCEEDED.search(message)
  return None if found is None else round(float(found[1]) * 1024 ** _UNITS[found[2]])
