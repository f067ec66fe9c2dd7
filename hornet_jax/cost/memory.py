"""The memory that a compiled program needs on a device is read from the compiler's reports."""

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
  """A `Memory` holds the bytes that a program needs on one device, as the compiler lays them out.

  Attributes:
    total: peak of the whole program, in bytes.
    arguments: bytes of the program's arguments: the state and the device's part of the batch.
    images: bytes of those arguments that are images (uint8).
  """

  total: int
  arguments: int
  images: int


def read_memory(usage_report: str, buffer_assignment: str) -> Memory:
  """Reads the two reports that the compiler writes before it generates code.

  Args:
    usage_report: text of `...memory-usage-report.txt`.
    buffer_assignment: text of `...buffer-assignment.txt`.

  Raises:
    ValueError: if their form is not the known one.
  """
  total = _TOTAL.search(usage_report)
  arguments = [(int(size), kind) for size, kind in _PARAMETER.findall(buffer_assignment)]
  if total is None or not arguments:
    raise ValueError(f"the compiler's memory report is of an unknown form: {usage_report[:200]!r}")
  images = sum(size for size, kind in arguments if kind == "u8")
  return Memory(int(total[1]), sum(size for size, _ in arguments), images)


def read_exceeded(message: str) -> int | None:
  """Reads the bytes that a program wants for temporary arrays from the compiler's error.

  Args:
    message: text of the error.

  Returns:
    The bytes, or None where the error is another one.
  """
  found = _EXCEEDED.search(message)
  return None if found is None else round(float(found[1]) * 1024 ** _UNITS[found[2]])
