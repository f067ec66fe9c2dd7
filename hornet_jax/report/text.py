"""Numbers as a page shows them."""

import math

UNKNOWN = "\N{EN DASH}"


def percent(fraction: float) -> str:
  """Writes a fraction as people read it; a dash where it is not finite."""
  return f"{100 * fraction:.1f}%" if math.isfinite(fraction) else UNKNOWN
