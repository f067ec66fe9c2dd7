"""Trained models: loaded from a workdir or a file, written to a file."""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy
from etils import epath
from flax import traverse_util
from safetensors import SafetensorError

from hornet_jax.convert.checkpoint import SUFFIXES, Converted, read_checkpoint
from hornet_jax.convert.published import is_published, locate, variant_of
from hornet_jax.data.imagenet_classes import synsets
from hornet_jax.data.normalize import IMAGENET_MEAN, IMAGENET_STD
from hornet_jax.data.preprocess import Preprocessing
from hornet_jax.errors import InputError
from hornet_jax.models import HorNet
from hornet_jax.train.checkpoint import load_params
from hornet_jax.train.files import make_folder, write_file
from hornet_jax.train.model import build_eval_view, build_model
from hornet_jax.train.workdir import load_class_names, load_config

_SUFFIX = ".safetensors"
_DATA_KEYS = ("image_size", "eval_crop_fraction", "eval_warp", "imaging", "mean", "std")


class Described(NamedTuple):
  """What a model says of itself.

  Attributes:
    model: settings, as in `config.model`.
    data: settings of its evaluation, as in `config.data`.
    class_names: in the order of the logits.
  """

  model: Mapping[str, Any]
  data: Mapping[str, Any]
  class_names: Sequence[str]


class Trained(NamedTuple):
  """A trained model.

  Attributes:
    model: `model.apply({"params": params}, preprocessing(images)) -> (logits, out)`.
    params: float32, on the host.
    preprocessing: images to inputs, and the names of the classes.
  """

  model: HorNet
  params: dict[str, Any]
  preprocessing: Preprocessing


def load(
  path: str | epath.PathLike, *, checkpoint: str | int = "last", raw: bool = False
) -> Trained:
  """Loads a trained model: `model, params, preprocessing = load(path)`.

  Args:
    path: workdir of a run, file that `export` or `convert` wrote, published checkpoint
      (`.pth`, `.h5`), or name of one, such as `official:hornet_tiny_gf`. A `.pth` or `.h5` of
      another architecture than the published ones has to go through `convert`.
    checkpoint: of a workdir: `"last"`, `"best"` or a step.
    raw: of a workdir: the weights themselves instead of their moving average.

  Raises:
    InputError: if there is no trained model at `path`, or a file is to give one of several.
  """
  return as_trained(*read_model(path, checkpoint=checkpoint, raw=raw))


def is_one_file(path: str | epath.PathLike) -> bool:
  """Whether a path of `load` is that of a file, or a name, with one set of weights."""
  name = os.fspath(path)
  return is_published(name) or epath.Path(name).suffix in (_SUFFIX, *SUFFIXES)


def read_model(
  path: str | epath.PathLike, *, checkpoint: str | int = "last", raw: bool = False
) -> tuple[Described, dict[str, Any]]:
  """What `load` loads: the model's own words, and its parameters."""
  name = os.fspath(path)
  path = epath.Path(path).expanduser()
  if is_one_file(name) and (raw or checkpoint != "last"):
    raise InputError(
      f"{name} holds the weights of one checkpoint: expected neither `checkpoint` nor `raw`, "
      f"got checkpoint={checkpoint!r}, raw={raw}. Hint: load the workdir instead."
    )
  if is_published(name):
    return described_checkpoint(read_checkpoint(locate(name), variant=variant_of(name)))
  if path.suffix in SUFFIXES:
    return described_checkpoint(read_checkpoint(pathlib.Path(path)))
  if path.suffix == _SUFFIX:
    return _read(path)
  config = load_config(path)
  described = Described(config["model"], config["data"], load_class_names(path))
  _, raw_params, ema_params = load_params(path / "checkpoints", checkpoint)
  return described, raw_params if raw else ema_params


def as_trained(described: Described, params: dict[str, Any]) -> Trained:
  """The model that its own words describe."""
  data = described.data
  return Trained(
    build_model(described.model, data["image_size"], len(described.class_names)),
    params,
    Preprocessing(
      build_eval_view(data),
      mean=data["mean"],
      std=data["std"],
      class_names=described.class_names,
    ),
  )


def described_checkpoint(
  checkpoint: Converted, image_size: int | None = None
) -> tuple[Described, dict[str, Any]]:
  """What a published checkpoint does not say of itself: the official evaluation.

  Args:
    checkpoint: as read.
    image_size: pixels; None for the variant's own.
  """
  size = image_size or checkpoint.image_size
  data = {
    "image_size": size,
    "eval_crop_fraction": 0.875,
    "eval_warp": size >= 384,
    "imaging": "turbo",
    "mean": IMAGENET_MEAN,
    "std": IMAGENET_STD,
  }
  known = synsets()
  count = checkpoint.num_classes
  class_names = known if count == len(known) else [str(k) for k in range(count)]
  model = {"variant": checkpoint.variant, "dtype": "float32", **checkpoint.overrides}
  return Described(model, data, class_names), checkpoint.params


def export(workdir: epath.Path, file: epath.Path, checkpoint: str | int = "last") -> None:
  """Writes a run's averaged weights to one file, see `write_model`.

  Raises:
    InputError: if there is no such checkpoint or the file cannot be written.
  """
  check_file(file)
  config = load_config(workdir)
  step, _, ema_params = load_params(workdir / "checkpoints", checkpoint)
  described = Described(config["model"], config["data"], load_class_names(workdir))
  write_model(file, described, ema_params, {"step": str(step)})


def check_file(file: epath.Path) -> None:
  """Raises `InputError` where no model can be written; makes the folder."""
  if file.suffix != _SUFFIX:
    raise InputError(f"`out` must end in {_SUFFIX}: got {file.name!r}.")
  make_folder(file.parent)


def evaluation_settings(described: Described) -> dict[str, Any]:
  """Of its data settings, those that evaluation depends on."""
  return {key: described.data[key] for key in _DATA_KEYS}


def write_model(
  file: epath.Path, described: Described, params: Any, notes: Mapping[str, str]
) -> None:
  """Writes a model to one file that `load` reads and nothing can hide in.

  The tensors are named by their paths in the parameter tree, such as
  `stage_0/block_0/gnconv/proj_in/kernel`; the metadata hold the model, the preprocessing
  and the names of the classes as JSON.

  Args:
    file: to write.
    described: the model's own words.
    params: of the model.
    notes: further metadata, such as where it came from.
  """
  metadata = {
    "model": json.dumps(described.model),
    "data": json.dumps(evaluation_settings(described)),
    "class_names": json.dumps(list(described.class_names)),
    **notes,
  }
  tensors = traverse_util.flatten_dict(params, sep="/")
  contiguous = {path: np.ascontiguousarray(leaf) for path, leaf in tensors.items()}
  write_file(file, safetensors.numpy.save(contiguous, metadata))


def _read(file: epath.Path) -> tuple[Described, dict[str, Any]]:
  """Description and parameters of a file that `write_model` wrote."""
  try:
    content = file.read_bytes()
    tensors = safetensors.numpy.load(content)
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    data = json.loads(metadata["data"])
    described = Described(
      json.loads(metadata["model"]),
      {key: data[key] for key in _DATA_KEYS},
      json.loads(metadata["class_names"]),
    )
  except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
    reason = f"{error} is missing" if isinstance(error, KeyError) else error or "not readable"
    raise InputError(f"{file} must be a file that `hornet export` wrote: {reason}.") from error
  return described, traverse_util.unflatten_dict(tensors, sep="/")
