"""This module translates the names and layouts of keras_cv_attention_models to official ones."""

import pathlib
import re
from typing import Any

import h5py
import numpy as np

from hornet_jax.errors import InputError
from hornet_jax.file_kind import file_kind

# Layer -> official module, applied to the whole name.
# Source: keras_cv_attention_models, hornet/hornet.py and attention_layers.
_LAYERS = [
  (r"stem_conv", "downsample_layers.0.0"),
  (r"stem_ln", "downsample_layers.0.1"),
  (r"stack(\d)_ln", "downsample_layers.{0}.0"),
  (r"stack(\d)_conv", "downsample_layers.{0}.1"),
  (r"stack(\d)_block(\d+)_attn_ln", "stages.{0}.{1}.norm1"),
  (r"stack(\d)_block(\d+)_mlp_ln", "stages.{0}.{1}.norm2"),
  (r"stack(\d)_block(\d+)_mlp_[Dd]ense_([01])", "stages.{0}.{1}.pwconv{2}"),
  (r"stack(\d)_block(\d+)_([12])_gamma", "stages.{0}.{1}.gamma{2}"),
  (r"stack(\d)_block(\d+)_gnconv_pre_conv", "stages.{0}.{1}.gnconv.proj_in"),
  (r"stack(\d)_block(\d+)_gnconv_output_conv", "stages.{0}.{1}.gnconv.proj_out"),
  (r"stack(\d)_block(\d+)_gnconv_pw(\d)_conv", "stages.{0}.{1}.gnconv.pws.{2}"),
  (r"stack(\d)_block(\d+)_gnconv_list_dw_conv", "stages.{0}.{1}.gnconv.dwconv"),
  (r"stack(\d)_block(\d+)_gnconv_gf_dw_conv", "stages.{0}.{1}.gnconv.dwconv.dw"),
  (r"stack(\d)_block(\d+)_gnconv_gf_(pre|post)_ln", "stages.{0}.{1}.gnconv.dwconv.{2}_norm"),
  (r"stack(\d)_block(\d+)_gnconv_gf_complex_dense", "stages.{0}.{1}.gnconv.dwconv"),
  (r"pre_output_ln", "norm"),
  (r"predictions", "head"),
]
_LEAVES = {"gamma": "weight", "beta": "bias", "kernel": "weight", "bias": "bias"}


def read_keras_file(path: pathlib.Path) -> dict[str, tuple[str, np.ndarray]]:
  """Reads a `.h5` file of a HorNet.

  Returns:
    Place in the file -> official name, and array in official layout.

  Raises:
    InputError: if it cannot be read or holds other layers, which are named.
  """
  entries: dict[str, tuple[str, np.ndarray]] = {}
  unknown = []

  def visit(name: str, item: Any) -> None:
    if isinstance(item, h5py.Dataset):
      if item.external or item.is_virtual:
        raise InputError(f"{path} must hold its numbers itself: {name} lies in another file.")
      *_, layer, weight = name.split("/")
      weight = weight.partition(":")[0]
      axes = 4 if weight == "complex_weight" else item.ndim
      if item.dtype.kind != "f" or item.ndim != axes:
        raise InputError(
          f"{path} must hold arrays of floating-point numbers, with four axes for a "
          f"complex_weight: {name} is {item.shape} of {item.dtype}."
        )
      entry = _official(layer, weight, np.asarray(item))
      if entry is None:
        unknown.append(name)
      else:
        entries[name] = entry

  try:
    with h5py.File(path) as file:
      file.visititems(visit)
  except (OSError, RuntimeError) as error:
    raise InputError(
      f"{path} must be a readable HDF5 file: {error}; it is {file_kind(path)}."
    ) from error
  if unknown:
    raise InputError(
      f"{path} must hold a HorNet of keras_cv_attention_models: {len(unknown)} unknown: "
      f"{', '.join(unknown[:20])}."
    )
  return entries


def _official(layer: str, weight: str, value: np.ndarray) -> tuple[str, np.ndarray] | None:
  for pattern, module in _LAYERS:
    match = re.fullmatch(pattern, layer)
    if match:
      module = _numbered(module, pattern, match.groups())
      break
  else:
    return None
  if weight == "complex_weight":
    return f"{module}.complex_weight", value.transpose(3, 1, 2, 0)  # [2, h, w, C]
  if module.rpartition(".")[2] in ("gamma1", "gamma2"):
    return module, value
  if layer.endswith("dw_conv") and value.ndim == 4:  # depthwise_kernel, in Keras 3 kernel
    return f"{module}.weight", value.transpose(2, 3, 0, 1)  # [k, k, C, 1]
  if weight not in _LEAVES:
    return None
  if weight == "kernel":
    value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T  # [k, k, in, out]
  return f"{module}.{_LEAVES[weight]}", value


def _numbered(module: str, pattern: str, groups: tuple[str, ...]) -> str:
  """Numbers a module the official way: there stacks and blocks count from 1, MLP layers from 0."""
  numbers: list[str] = []
  for i, group in enumerate(groups):
    down = i < 2 and "block" in pattern
    down |= "gnconv_pw" in pattern or (i == 0 and "block" not in pattern)
    up = "ense_" in pattern and i == 2
    shift = 1 if up else -1 if down else 0
    numbers.append(str(int(group) + shift) if shift else group)
  return module.format(*numbers)
