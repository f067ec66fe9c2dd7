"""mmpretrain's names of the official parameters."""

from collections.abc import Iterable

_BACKBONE = "backbone."


def is_mmpretrain(names: Iterable[str]) -> bool:
  """Whether a state dict has mmpretrain's names."""
  return any(name.startswith(_BACKBONE) for name in names)


def official_from_mmpretrain(name: str) -> str:
  """The official name of a parameter.

  Source: mmpretrain 1.x, models/backbones/hornet.py and models/heads/linear_head.py.

  Args:
    name: such as `backbone.stages.0.0.gnconv.projs.0.weight`, `head.fc.weight`.
  """
  name = name.removeprefix(_BACKBONE).replace(".projs.", ".pws.").replace("head.fc.", "head.")
  for scale in ("gamma1", "gamma2"):
    name = name.replace(f".{scale}.weight", f".{scale}")
  return name.replace("norm3.", "norm.", 1) if name.startswith("norm3.") else name
