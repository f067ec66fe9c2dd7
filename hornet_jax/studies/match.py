"""Designs are made equally expensive, by their width or by the depth of their longest stage."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from hornet_jax.errors import InputError, unknown_name
from hornet_jax.studies.design import Design, sizes_of

TOLERANCE = 0.01
CHANGES = ("width", "depth", "both", "mlp")
_ROUNDS = 3  # of estimating a width
_TRIES = 6  # possible widths around it
_FARTHEST = 64


class Matched(NamedTuple):
  """A `Matched` is a design beside the one that it was matched to.

  Attributes:
    design: the design, with the width or the depths that were found.
    cost: its MACs or parameters.
    ratio: that over the cost of the reference.
  """

  design: Design
  cost: int
  ratio: float


def match(
  design: Design, target: int, by: str = "macs", change: str = "both", tolerance: float = TOLERANCE
) -> Matched:
  """Changes the size of a design until it costs what another does.

  Of the designs within the tolerance the one is taken whose depth, then whose width, changes least.

  Args:
    design: design to change.
    target: MACs or parameters to reach.
    by: what is to be equal, `"macs"` or `"params"`.
    change: what may be changed, a name in `CHANGES`: the width (`base_dim`), the depth (blocks of
      the longest stage, or of the only one), both, or the width inside the MLPs alone
      (`mlp_ratio`), which goes in the smallest steps.
    tolerance: largest relative difference.

  Raises:
    InputError: if no size comes close enough; the nearest is told.
  """
  if change not in CHANGES:
    raise unknown_name("change", change, CHANGES)
  nearest: Matched | None = None
  for found in _mlps(design, target, by) if change == "mlp" else _sizes(design, target, by, change):
    if nearest is None or abs(found.ratio - 1) < abs(nearest.ratio - 1):
      nearest = found
    if abs(found.ratio - 1) <= tolerance:
      return found
  told = "none that is possible"
  if nearest:
    told = f"{nearest.ratio:.4f} of it with {nearest.design.fields or 'nothing changed'}"
  raise InputError(
    f"{design.variant} must come within {tolerance:.1%} of {target:,} {by} by changing {change}: "
    f"got {told}. Hint: change both or mlp, which goes in smaller steps."
  )


def _mlps(design: Design, target: int, by: str) -> Iterator[Matched]:
  """Yields designs of another width inside the MLPs, on which the cost depends linearly."""
  ratio = float(getattr(design.build(), "mlp_ratio", 0.0))
  if not ratio:
    raise InputError(f"{design.variant} must have an `mlp_ratio` to change it: got none.")
  for _ in range(_ROUNDS):
    wide, narrow = (
      design.with_fields(mlp_ratio=round(r, 4)).costs()[by] for r in (ratio, ratio / 2)
    )
    ratio += (target - wide) / (wide - narrow) * ratio / 2
    if ratio <= 0:
      return
    yield from _tried(design.with_fields(mlp_ratio=round(ratio, 4)), target, by)


def _sizes(design: Design, target: int, by: str, change: str) -> Iterator[Matched]:
  width, depths = sizes_of(design)
  longest = max(range(len(depths)), key=lambda s: depths[s])
  for depth in _depths(depths[longest], change):
    new = tuple(depth if s == longest else d for s, d in enumerate(depths))
    deeper = design if new == depths else design.with_fields(depths=new)
    if change == "depth":
      yield from _tried(deeper, target, by)
    else:
      # Of one depth the nearest width counts, not the first that is near enough.
      found = list(_widths(deeper, width, target, by))
      yield from sorted(found, key=lambda matched: abs(matched.ratio - 1))[:1]


def _depths(depth: int, change: str) -> Iterator[int]:
  """Yields depths to try, the nearest first."""
  yield depth
  if change == "width":
    return
  for distance in range(1, 4 * depth + 1):
    yield depth + distance
    if depth > distance:
      yield depth - distance


def _widths(design: Design, width: int, target: int, by: str) -> Iterator[Matched]:
  """Yields designs of possible widths, from that which the target suggests on, to both sides."""
  guess = width
  for _ in range(_ROUNDS):
    found = next(_outwards(design, guess, target, by), None)
    if found is None:
      return
    guess = max(round(sizes_of(found.design)[0] * found.ratio**-0.5), 1)
  yield from itertools.islice(_outwards(design, guess, target, by), _TRIES)


def _outwards(design: Design, width: int, target: int, by: str) -> Iterator[Matched]:
  for distance in range(max(width, _FARTHEST)):
    for other in sorted({width - distance, width + distance}):
      if other > 0:
        yield from _tried(design.with_fields(base_dim=other), target, by)


def _tried(design: Design, target: int, by: str) -> Iterator[Matched]:
  """Yields the design with its cost, unless its fields contradict each other."""
  try:
    cost = design.costs()[by]
  except InputError:
    return
  yield Matched(design, cost, cost / target)
