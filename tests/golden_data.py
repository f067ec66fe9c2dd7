"""Reads the reference arrays of tests/golden."""

import json
import pathlib

import numpy as np

GOLDEN = pathlib.Path(__file__).parent / "golden"


class Golden:
  """One reference case: its configuration and its arrays in our layout."""

  def __init__(self, name: str):
    self.info = json.loads((GOLDEN / f"{name}.json").read_text())
    path = GOLDEN / f"{name}.npz"
    self.arrays = dict(np.load(path)) if path.exists() else {}

  @property
  def config(self) -> dict:
    return self.info["config"]

  def group(self, prefix: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): v for k, v in self.arrays.items() if k.startswith(prefix)}

  def nhwc(self, name: str) -> np.ndarray:
    value = self.arrays[name]
    return value.transpose(0, 2, 3, 1) if value.ndim == 4 and not name.endswith("NHWC") else value


def official_key(path: tuple[str, ...]) -> str:
  """The official name of a parameter of ours."""
  *modules, leaf = path
  key = ".".join(modules)
  if key.startswith("stem."):
    key = {"stem.conv": "downsample_layers.0.0", "stem.norm": "downsample_layers.0.1"}[key]
  elif key.startswith("downsample_"):
    key = f"downsample_layers.{key[11]}.{1 if key.endswith('conv') else 0}"
  renamed = {"stage_": "stages.", "block_": "", "pws_": "pws.", "mlp.fc": "pwconv"}
  for ours, theirs in renamed.items():
    key = key.replace(ours, theirs)
  if "layer_scale" in key:
    return key.replace("layer_scale", "gamma")
  if leaf.startswith("filter_"):
    return f"{key}.complex_weight"
  return f"{key}.{'bias' if leaf == 'bias' else 'weight'}"


def names(prefix: str) -> list[str]:
  return sorted(p.stem for p in GOLDEN.glob(f"{prefix}*.json"))


def assert_close(actual, expected, tolerance=1e-5, what=""):
  """Asserts a maximum error relative to the largest reference value."""
  actual, expected = np.asarray(actual), np.asarray(expected)
  assert actual.shape == expected.shape, f"{what}: {actual.shape} != {expected.shape}"
  error = np.max(np.abs(actual - expected)) / max(np.max(np.abs(expected)), 1e-30)
  assert error <= tolerance, f"{what}: relative error {error:.2e} > {tolerance:.0e}"
