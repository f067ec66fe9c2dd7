"""The collectives of one step, by which devices send each other data, are read from HLO text."""

import dataclasses
import math
import re
from collections.abc import Sequence

from hornet_jax.cost.xla.hlo import callees, read_computations, times_run

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2, "f32": 4, "s32": 4}
_BYTES |= {"u32": 4, "f64": 8, "s64": 8, "u64": 8}

_COLLECTIVE = re.compile(
  r"^\s*(?:ROOT )?%?(?P<name>[\w.\-]+) = (?P<shape>.*?) "
  r"(?P<kind>ragged-all-to-all|" + "|".join(KINDS) + r")(?P<start>-start)?\("
)
_ARRAY = re.compile(r"\b(pred|bf16|[sufc]\d+)\[([\d,]*)\]")
_CHAIN = re.compile(r'chain_id="(\d+)"')
_CHANNEL = re.compile(r"channel_id=(\d+)")


@dataclasses.dataclass(frozen=True)
class Collective:
  """A collective is one operation of the program's text, however often it runs.

  Attributes:
    kind: name of the operation, one of `KINDS`.
    size: bytes of the whole array or arrays that are reduced or gathered.
    group: number of devices that take part together.
    times: number of runs in a step.
  """

  kind: str
  size: int
  group: int
  times: int

  @property
  def wire_bytes(self) -> float:
    """Gives the bytes that each device sends for it in a step, if devices form rings.

    All-reduce 2 (n - 1) / n of the size; all-gather, reduce-scatter and all-to-all
    (n - 1) / n; a permute, all of it.
    """
    share = {"all-reduce": 2 * (1 - 1 / self.group), "collective-permute": 1.0}
    return self.times * self.size * share.get(self.kind, 1 - 1 / self.group)


@dataclasses.dataclass(frozen=True)
class Total:
  """A `Total` sums the collectives of one kind in a step.

  Attributes:
    count: number of runs.
    wire_bytes: bytes that each device sends for them.
  """

  count: int
  wire_bytes: float


def totals(found: Sequence[Collective]) -> dict[str, Total]:
  """Sums collectives by kind; kinds that do not occur are left out."""
  by_kind = {kind: [c for c in found if c.kind == kind] for kind in KINDS}
  return {
    kind: Total(sum(c.times for c in group), sum(c.wire_bytes for c in group))
    for kind, group in by_kind.items()
    if group
  }


def read_collectives(text: str, num_devices: int) -> list[Collective]:
  """Finds the collectives of an optimised program, for CPU or TPU.

  On TPU a reduce-scatter is a fusion that calls a computation `all-reduce-scatter...` with an
  all-reduce in it, and an asynchronous gather appears in each of the computations that it
  runs beside, with the same `chain_id`; both are counted as one. What is in the body of a
  loop counts as often as the loop runs.

  Args:
    text: HLO text of the program, after all optimisation.
    num_devices: number of devices that run it.
  """
  computations = read_computations(text)
  times = times_run(computations)
  callers = {callee: name for name, lines in computations.items() for callee in callees(lines)}
  chains = set()
  found = []
  for name, lines in computations.items():
    if not times[name]:
      continue
    for line in lines:
      match = _COLLECTIVE.match(line)
      if match is None:
        continue
      chain = _CHAIN.search(line)
      if chain:
        channel = _CHANNEL.search(line)
        key = (callers.get(name), chain[1], channel and channel[1], match["shape"].split("{")[0])
        if key in chains:
          continue
        chains.add(key)
      kind = match["kind"].removeprefix("ragged-")
      sizes = _sizes(match["shape"])
      # The result of a start is the operands and then the results, with what keeps track.
      size = max(sizes) if match["start"] else sum(sizes)
      group = _group_size(line, num_devices)
      if "all-reduce-scatter" in name:
        kind = "reduce-scatter"
      elif kind == "reduce-scatter":
        size *= group
      if group > 1:
        found.append(Collective(kind, size, group, times[name]))
  return found


def _sizes(shape: str) -> list[int]:
  """Lists the bytes of every array of a shape."""
  return [
    math.prod(map(int, filter(None, sides.split(",")))) * _BYTES.get(kind, 4)
    for kind, sides in _ARRAY.findall(shape)
  ]


def _group_size(line: str, num_devices: int) -> int:
  named = re.search(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}", line)
  if named:
    sides = dict(re.findall(r"'(\w+)'=(\d+)", named[1]))
    # An axis, or a part of it: 'name' or 'name':(before)size.
    parts = re.findall(r"'(\w+)'(?::\(\d+\)(\d+))?", named[2])
    return math.prod(int(part or sides[axis]) for axis, part in parts) if parts else num_devices
  iota = re.search(r"replica_groups=\[\d+,(\d+)\]<=", line)
  if iota:
    return int(iota[1])
  listed = re.search(r"replica_groups=\{\{([\d,]*)\}", line)
  return len(listed[1].split(",")) if listed else num_devices
