"""The compiler's own estimates of cycles are summed over a program."""

import re

from hornet_jax.cost.xla.hlo import read_computations, times_run

_FUSED = re.compile(r"\b(?:calls|to_apply)=%?([\w.\-]+)")
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')


def estimated_cycles(text: str) -> int:
  """Sums the compiler's estimates of cycles for one run of a compiled program.

  Operations in loops count as often as they run; what is fused counts by the fusion alone.
  Collectives and waits have no estimate. Single operations are off by a factor of two to four in
  both directions: the sum ranks similar programs and is no measure of time.

  Args:
    text: HLO text of the program.
  """
  computations = read_computations(text)
  times = times_run(computations)
  fused = {name for lines in computations.values() for name in _FUSED.findall("\n".join(lines))}
  return sum(
    times[name] * int(cycles)
    for name, lines in computations.items()
    if name not in fused
    for line in lines
    for cycles in _CYCLES.findall(line)
  )
