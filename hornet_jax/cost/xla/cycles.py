"""The compiler's own estimates of cycles are summed over a program."""

import dataclasses
import re

from hornet_jax.cost.xla.hlo import read_computations, times_run

_FUSED = re.compile(r"\b(?:calls|to_apply)=%?([\w.\-]+)")
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_SCOPES = re.compile(r'op_name="([^"]*)"')


@dataclasses.dataclass(frozen=True)
class Slowest:
  """A `Slowest` is the operation of a program that has most of its cycles.

  Attributes:
    cycles: cycles of all its runs.
    scopes: name scopes of the source that it comes from.
  """

  cycles: int
  scopes: str


def estimated_cycles(text: str) -> tuple[int, Slowest]:
  """Sums the compiler's estimates of cycles for one run of a compiled program.

  Operations in loops count as often as they run; what is fused counts by the fusion alone.
  Collectives and waits have no estimate. Single operations are off by a factor of two to four in
  both directions: the sum ranks similar programs and is no measure of time.

  Args:
    text: HLO text of the program.

  Returns:
    The sum, and the operation that has most of it.
  """
  computations = read_computations(text)
  times = times_run(computations)
  fused = {name for lines in computations.values() for name in _FUSED.findall("\n".join(lines))}
  total, slowest = 0, Slowest(0, "")
  for name, lines in computations.items():
    if name in fused:
      continue
    for line in lines:
      cycles = times[name] * sum(map(int, _CYCLES.findall(line)))
      total += cycles
      if cycles > slowest.cycles:
        scopes = _SCOPES.search(line)
        slowest = Slowest(cycles, scopes[1] if scopes else line.split(" = ")[0].strip())
  return total, slowest
