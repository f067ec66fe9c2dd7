"""This module reads a file of timm: safetensors, with the `config.json` that lies beside it."""

import json
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np
import safetensors.numpy
from flax import traverse_util
from safetensors import SafetensorError

from hornet_jax.convert.architecture import nearest_variant, other_fields
from hornet_jax.convert.converted import Converted, differences, in_words, listed
from hornet_jax.convert.timm import FAMILIES, SIZED, StateDict, find_family, params_from_timm
from hornet_jax.errors import InputError, MismatchError
from hornet_jax.file_kind import file_kind
from hornet_jax.models import ALIASES, VARIANTS, create_model, get_variant
from hornet_jax.wording import counted

_TOLD = {"num_heads"}  # what `model_args` may say beside shapes


def read_timm_file(
  path: pathlib.Path, *, variant: str | None = None, any_architecture: bool = False
) -> Converted:
  """Reads a model that timm wrote: ConvNeXt, Swin, DeiT or ViT.

  The `config.json` beside it tells the architecture by name, and the preprocessing; without it
  the shapes do, and the preprocessing is that of the official evaluation.

  Args:
    path: path of the safetensors file.
    variant: name of the model that it must hold; None for what the file says.
    any_architecture: whether it may hold a model of the family that has no name here.

  Raises:
    MismatchError: if its arrays are not exactly those of the model.
    InputError: if a file cannot be read or the family is unknown.
  """
  state_dict = read_arrays(path)
  described = read_description(path)
  family = find_family(state_dict)
  if family is None:
    known = ", ".join(sorted(family.constructor.__name__ for family in FAMILIES))
    found = ", ".join(list(state_dict)[:3]) or "none"
    raise InputError(
      f"{path} must hold a model of a family that is known here, {known}, by timm's names: got "
      f"{found[:200]} among {counted(len(state_dict), 'array')}. Hint: what "
      "`hornet export` wrote needs no conversion."
    )
  fields = family.read_fields(state_dict) | described.fields
  named = variant or _variant_of(described.architecture)
  name = named or nearest_variant(fields, family.constructor)
  others = other_fields(name, fields)
  own = any_architecture and variant is None
  overrides = {key: value for key, value in others.items() if own or key in SIZED}
  tree, sources = params_from_timm(state_dict, family)
  head = tree.get("head", {}).get("bias")
  num_classes = 0 if head is None else len(head)
  model = create_model(name, num_classes=num_classes, **overrides)
  data = dict(described.data)
  size = data.get("image_size", get_variant(name).image_size)
  images = jax.ShapeDtypeStruct((1, size, size, data.get("channels", 3)), np.float32)
  wanted = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
  problems = []
  for problem in differences(wanted, tree):
    source = sources.get(problem.partition(" ")[0])
    problems.append(f"{problem} (in the file {source})" if source else problem)
  flat = traverse_util.flatten_dict(tree, sep="/")
  problems += [f"{sources[at]} is not finite" for at, leaf in flat.items() if not _finite(leaf)]
  if problems:
    message = (
      f"{path} must hold {in_words(name, overrides)}, whole and nothing else: {listed(problems)}."
    )
    if others and not own:
      message += (
        f" Hint: it looks like {in_words(name, others)}; where that is meant, `hornet convert "
        "--any_architecture` makes a file of it that the other commands read."
      )
    raise MismatchError(message, problems)
  params = jax.tree.map(lambda leaf: np.ascontiguousarray(leaf, np.float32), tree)
  return Converted(name, overrides, num_classes, size, params, sources, data)


def _variant_of(architecture: str) -> str | None:
  """Returns the name here of a model that timm names."""
  name = ALIASES.get(architecture, architecture)
  return name if name in VARIANTS else None


def _finite(leaf: np.ndarray) -> bool:
  return bool(np.isfinite(leaf.astype(np.float32)).all())


def read_arrays(path: pathlib.Path) -> StateDict:
  """Reads the arrays of a safetensors file; raises `InputError` if that cannot be done."""
  try:
    return safetensors.numpy.load_file(path)
  except (OSError, SafetensorError, ValueError, KeyError) as error:
    raise InputError(
      f"{path} must be a safetensors file: {error or 'not readable'}; it is {file_kind(path)}."
    ) from error


class Description(NamedTuple):
  """What timm's `config.json` says of a model.

  Attributes:
    architecture: name of the model in timm, such as `"swin_tiny_patch4_window7_224"`; "" if it is
      not said.
    data: settings of its preprocessing, with keys of `config.data`.
    fields: fields of the model that shapes do not tell.
  """

  architecture: str
  data: dict[str, Any]
  fields: dict[str, Any]


def read_description(path: pathlib.Path) -> Description:
  """Reads the `config.json` that timm writes beside a model.

  Args:
    path: path of the model's file.

  Returns:
    What it says; nothing where there is no such file.

  Raises:
    InputError: if it is no JSON, or asks for what the evaluation cannot do.
  """
  file = path.with_name("config.json")
  if not file.exists():
    return Description("", {}, {})
  try:
    config = json.loads(file.read_text())
    chosen = config.get("pretrained_cfg", config)
    model_args = config.get("model_args") or {}
    fields = {key: int(model_args[key]) for key in _TOLD & model_args.keys()}
    channels, height, width = chosen.get("input_size", (3, 224, 224))
    interpolation = chosen.get("interpolation", "bicubic")
    data = {
      "image_size": int(height),
      "channels": int(channels),
      "eval_crop_fraction": float(chosen.get("crop_pct") or 0.875),
      "eval_warp": chosen.get("crop_mode", "center") == "squash",
    }
    data |= {key: tuple(map(float, chosen[key])) for key in ("mean", "std") if key in chosen}
  except (OSError, ValueError, TypeError, AttributeError) as error:
    raise InputError(
      f"{file} must be as timm writes it: expected JSON with `architecture` and `pretrained_cfg`, "
      f"got {error}. Hint: remove it, to take the model's usual preprocessing."
    ) from error
  if interpolation != "bicubic" or height != width:
    raise InputError(
      f"{file} must ask for square images resized bicubically: got {height}x{width}, "
      f"{interpolation}. Hint: change it there; the accuracy is then another than the published."
    )
  return Description(str(config.get("architecture", "")), data, fields)
