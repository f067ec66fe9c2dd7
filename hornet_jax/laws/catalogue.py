"""The laws by their names."""

from collections.abc import Mapping

from hornet_jax.errors import unknown_name
from hornet_jax.laws.broken import BrokenPower
from hornet_jax.laws.chinchilla import Chinchilla, WidthDepth
from hornet_jax.laws.law import Law
from hornet_jax.laws.overtraining import Overtraining
from hornet_jax.laws.power import FlooredPower, Power, SaturatingPower, ShiftedPower
from hornet_jax.laws.sigmoid import SigmoidalPower

LAWS: Mapping[str, Law] = {
  "chinchilla": Chinchilla(),
  "overtraining": Overtraining(),
  "width_depth": WidthDepth(),
  "power": Power(),
  "saturating": SaturatingPower(),
  "m1": Power(),
  "m2": FlooredPower(),
  "m3": ShiftedPower(),
  "m4": SigmoidalPower(),
  "bnsl": BrokenPower(1),
  "bnsl2": BrokenPower(2),
  "bnsl3": BrokenPower(3),
}


def get_law(name: str) -> Law:
  """Returns a law by its name.

  Raises:
    InputError: if there is none of that name.
  """
  if name not in LAWS:
    raise unknown_name("law", name, LAWS)
  return LAWS[name]
