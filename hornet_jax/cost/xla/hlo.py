"""This module reads the text of a compiled program: its computations, and how often each runs."""

import collections
import re
from collections.abc import Iterator, Sequence

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$")
_CALL = re.compile(
  r"(calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.\-]+)"
)
_BRANCHES = re.compile(r"(?:branch_computations|called_computations)=\{([^}]*)\}")
_TRIP_COUNT = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_CONSTANT = re.compile(r"%?([\w.\-]+) = [su]\d+\[\]\S* constant\((\d+)\)")
_COMPARE = re.compile(r"compare\((.*?)\), direction=LT")


def read_computations(text: str) -> dict[str, list[str]]:
  """Splits HLO text into the lines of each computation, by name; the first to run is `ENTRY`."""
  computations: dict[str, list[str]] = {}
  lines: list[str] = []
  for line in text.splitlines():
    match = _COMPUTATION.match(line)
    if match:
      name = "ENTRY" if match[1] else match[2]
      lines = computations[name] = []
    elif line != "}":
      lines.append(line)
  return computations


def callees(lines: Sequence[str]) -> Iterator[str]:
  """Yields the names of the computations that these lines call."""
  for line in lines:
    yield from (name for _, name in _CALL.findall(line))
    for names in _BRANCHES.findall(line):
      yield from (name.strip().lstrip("%") for name in names.split(","))


def times_run(computations: dict[str, list[str]]) -> collections.Counter[str]:
  """Counts how often each computation runs when the program runs once."""
  # Called ones stand before their callers in the text.
  times = collections.Counter({"ENTRY": 1})
  for name in reversed(computations):
    for line in computations[name]:
      trips = _trip_count(line, computations) if " while(" in line else 1
      for callee in callees([line]):
        times[callee] += times[name] * trips
  return times


def _trip_count(line: str, computations: dict[str, list[str]]) -> int:
  """Returns the trips of a loop that counts from 0; 1 where they are not known beforehand."""
  known = _TRIP_COUNT.search(line)
  if known:
    return int(known[1])
  condition = dict(_CALL.findall(line)).get("condition", "")
  body = computations.get(condition, [])
  constants = dict(pair for inner in body for pair in _CONSTANT.findall(inner))
  for inner in body:
    compared = _COMPARE.search(inner)
    if compared and inner.lstrip().startswith("ROOT"):
      operands = [operand.split("%")[-1].strip() for operand in compared[1].split(",")]
      bounds = [int(constants[operand]) for operand in operands if operand in constants]
      return bounds[0] if bounds else 1
  return 1
