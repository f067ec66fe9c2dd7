"""This module translates the parameter names of mmpretrain to official ones."""

from collections.abc import Iterable

_BACKBONE = "backbone."


def is_mmpretrain(names: Iterable[str]) -> bool:
  """Returns whether the names of a state dict are mmpretrain's."""
  return any(name.startswith(_BACKBONE) for name in names)


def official_from_mmpretrain(name: str) -> str:
  """Returns the official name of a parameter.

  Source: mmpretrain 1.x, models/backbones/hornet.py and models/heads/linear_head.py.

  Args:
    name: name in mmpretrain, such as `backbone.stages.0.0.gnconv.projs.0.weight`, `head.fc.weight`.
  """
  name = name.removeprefix(_BACKBONE).replace(".projs.", ".pws.").replace("head.fc.", "head.")
  for scale in ("gamma1", "gamma2"):
    name = name.replace(f".{scale}.weight", f".{scale}")
  return name.replace("norm3.", "norm.", 1) if name.startswith("norm3.") else name
