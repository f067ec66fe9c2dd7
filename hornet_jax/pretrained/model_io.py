"""Pretrained models are loaded from a workdir or a file here, and written to a file."""

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

from hornet_jax.checkpoints.newest_valid import load_variables
from hornet_jax.config.build import build_eval_view, build_model
from hornet_jax.config.schema import SCHEMA
from hornet_jax.config.upgrade import upgrade_section
from hornet_jax.convert.checkpoint import SUFFIXES, read_checkpoint
from hornet_jax.convert.converted import Converted
from hornet_jax.convert.published import is_published, locate, variant_of
from hornet_jax.data.imagenet_classes import synsets
from hornet_jax.data.normalize import IMAGENET_MEAN, IMAGENET_STD
from hornet_jax.data.preprocess import Preprocessing
from hornet_jax.errors import InputError, StorageError
from hornet_jax.file_kind import file_kind
from hornet_jax.files import make_folder, retried, write_file
from hornet_jax.models import Architecture
from hornet_jax.paths import check_reachable, expanded
from hornet_jax.runs.workdir import load_class_names, load_config
from hornet_jax.tasks import Classification, get_task
from hornet_jax.train.task import ranking_key

_SUFFIX = ".safetensors"
_RANKED_BY = ranking_key(Classification)
_DATA_KEYS = [name.removeprefix("data.") for name, key in SCHEMA.items() if key.evaluation]


class ModelSpec(NamedTuple):
  """A `ModelSpec` describes a model without its parameters, as a file or a config holds it.

  Attributes:
    model: settings of the model, with the keys of `config.model`.
    data: settings of its evaluation, with keys of `config.data`.
    class_names: names of the classes, in the order of the logits.
  """

  model: Mapping[str, Any]
  data: Mapping[str, Any]
  class_names: Sequence[str]


class PretrainedModel(NamedTuple):
  """A pretrained model can be applied to images at once.

  Attributes:
    model: module: `model.apply({"params": params}, preprocessing(images)) -> (logits, out)`.
    params: parameters, float32, on the host.
    preprocessing: function from images to the model's inputs; holds the names of the classes.
  """

  model: Architecture
  params: dict[str, Any]
  preprocessing: Preprocessing


def load(
  path: str | epath.PathLike, *, checkpoint: str | int = "last", raw: bool = False
) -> PretrainedModel:
  """Loads a trained model: `model, params, preprocessing = load(path)`.

  Args:
    path: workdir of a run, file that `export` or `convert` wrote, published checkpoint (`.pth`,
      `.h5`, timm's `.safetensors`), or name of one, such as `official:hornet_tiny_gf` or
      `timm:NAME`. One of another architecture than the published ones has to go through `convert`.
    checkpoint: checkpoint of a workdir: `"last"`, `"best"` or the number of a step.
    raw: whether to load, of a workdir, the weights themselves instead of their moving average.

  Raises:
    InputError: if there is no trained model at `path`, or a file is to give one of several.
  """
  return to_pretrained(*read_model(path, checkpoint=checkpoint, raw=raw))


def is_one_file(path: str | epath.PathLike) -> bool:
  """Tells whether a path for `load` is a file or a name, which has one set of weights."""
  name = os.fspath(path)
  return is_published(name) or epath.Path(name).suffix in SUFFIXES


def check_is_weights(path: epath.Path) -> None:
  """Raises `InputError` where a path is a file that has no weights; what it is, is named."""
  if path.is_file():
    raise InputError(
      f"`path` must be a workdir or a file of weights, {', '.join(SUFFIXES)}: {path} "
      f"is {file_kind(path)}."
    )


def read_model(
  path: str | epath.PathLike, *, checkpoint: str | int = "last", raw: bool = False
) -> tuple[ModelSpec, dict[str, Any]]:
  """Reads the description and the parameters of a trained model; arguments as of `load`."""
  name = os.fspath(path)
  check_reachable(name)
  path = expanded(path, "a path of weights")
  if is_one_file(name) and (raw or checkpoint != "last"):
    raise InputError(
      f"{name} holds the weights of one checkpoint: expected neither `checkpoint` nor `raw`, "
      f"got checkpoint={checkpoint!r}, raw={raw}. Hint: load the workdir instead."
    )
  if is_published(name):
    return spec_of_checkpoint(read_checkpoint(locate(name), variant=variant_of(name)))
  if path.suffix == _SUFFIX:
    return _read(path)
  if path.suffix in SUFFIXES:
    return spec_of_checkpoint(read_checkpoint(pathlib.Path(path)))
  check_is_weights(path)
  spec = _spec_of_run(path)
  _, raw_params, ema_params = _load_stateless(path, checkpoint)
  return spec, raw_params if raw else ema_params


def to_pretrained(spec: ModelSpec, params: dict[str, Any]) -> PretrainedModel:
  """Builds the model that `spec` describes, with these parameters."""
  data = spec.data
  return PretrainedModel(
    build_model(spec.model, data, len(spec.class_names)),
    params,
    Preprocessing(
      build_eval_view(data),
      mean=data["mean"],
      std=data["std"],
      class_names=spec.class_names,
    ),
  )


def spec_of_checkpoint(
  checkpoint: Converted, image_size: int | None = None
) -> tuple[ModelSpec, dict[str, Any]]:
  """Describes a published checkpoint, with its own preprocessing or that of the official code.

  Args:
    checkpoint: checkpoint that `read_checkpoint` has read.
    image_size: side of the images in pixels; None for the variant's own.

  Returns:
    Description and parameters of the model.
  """
  size = image_size or checkpoint.image_size
  data = {
    "image_size": size,
    "eval_crop_fraction": 0.875,
    "eval_warp": size >= 384,
    "imaging": "turbo",
    "channels": 3,
    "max_value": 0.0,
    "mean": IMAGENET_MEAN,
    "std": IMAGENET_STD,
    **checkpoint.data,
  }
  data["image_size"] = size
  known = synsets()
  count = checkpoint.num_classes
  class_names = known if count == len(known) else [str(k) for k in range(count)]
  model = {"variant": checkpoint.variant, "dtype": "float32", **checkpoint.overrides}
  return ModelSpec(model, data, class_names), checkpoint.params


def export(workdir: epath.Path, file: epath.Path, checkpoint: str | int = "last") -> None:
  """Writes a run's averaged weights to one file, see `write_model`.

  Args:
    workdir: workdir of the run.
    file: path of the new file, which ends in `.safetensors`.
    checkpoint: checkpoint of the run: `"last"`, `"best"` or the number of a step.

  Raises:
    InputError: if there is no such checkpoint or the file cannot be written.
  """
  check_file(file)
  spec = _spec_of_run(workdir)
  step, _, ema_params = _load_stateless(workdir, checkpoint)
  write_model(file, spec, ema_params, {"step": str(step)})


def _load_stateless(
  workdir: epath.Path, checkpoint: str | int
) -> tuple[int, dict[str, Any], dict[str, Any]]:
  """Loads (step, parameters, averaged parameters) of a model that has nothing else."""
  step, raw, averaged = load_variables(workdir / "checkpoints", checkpoint, _RANKED_BY)
  state = sorted(raw.keys() - {"params"})
  if state:
    raise InputError(
      f"`workdir` must be of a model whose parameters are all that it has: {workdir} also has "
      f"{', '.join(state)}, for which files have no place. Hint: `predict` and `evaluate` with "
      "--workdir take it as it is."
    )
  return step, raw["params"], averaged["params"]


def _spec_of_run(workdir: epath.Path) -> ModelSpec:
  """What a run says of its classifier."""
  config = load_config(workdir)
  if not issubclass(get_task(config["task"]), Classification):
    raise InputError(
      f"`workdir` must be of a run that trained a classifier: expected task classification, got "
      f"{config['task']!r} in {workdir}. Hint: `predict` and `evaluate` with --workdir know every "
      "task."
    )
  return ModelSpec(config["model"], config["data"], load_class_names(workdir))


def check_file(file: epath.Path) -> None:
  """Makes the folder of a model's file; raises `InputError` unless it ends in `.safetensors`."""
  if file.suffix != _SUFFIX:
    raise InputError(f"`out` must end in {_SUFFIX}: got {file.name!r}.")
  make_folder(file.parent)


def evaluation_settings(spec: ModelSpec) -> dict[str, Any]:
  """Returns those of the data settings that evaluation depends on, with what keys of now add."""
  settings = upgrade_section("data", dict(spec.data), _DATA_KEYS)
  return {key: settings[key] for key in _DATA_KEYS}


def write_model(file: epath.Path, spec: ModelSpec, params: Any, notes: Mapping[str, str]) -> None:
  """Writes a model to one safetensors file, which `load` reads and which holds no code.

  The tensors are named by their paths in the parameter tree, such as
  `stage_0/block_0/gnconv/proj_in/kernel`; the metadata hold the model, the preprocessing
  and the names of the classes as JSON.

  Args:
    file: path of the new file.
    spec: description of the model.
    params: parameters of the model, blocks apart.
    notes: further metadata, such as the number of the step or the source.
  """
  metadata = {
    "model": json.dumps(spec.model),
    "data": json.dumps(evaluation_settings(spec)),
    "class_names": json.dumps(list(spec.class_names)),
    **notes,
  }
  tensors = traverse_util.flatten_dict(params, sep="/")
  contiguous = {path: np.ascontiguousarray(leaf) for path, leaf in tensors.items()}
  write_file(file, safetensors.numpy.save(contiguous, metadata))


def _read(file: epath.Path) -> tuple[ModelSpec, dict[str, Any]]:
  """Reads description and parameters from a file that `write_model` wrote, or timm."""
  try:
    content = retried(f"reading {file}", file.read_bytes)
    tensors = safetensors.numpy.load(content)
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    if not metadata.keys() & {"model", "data", "class_names"}:
      return spec_of_checkpoint(read_checkpoint(pathlib.Path(file)))
    data = upgrade_section("data", json.loads(metadata["data"]), _DATA_KEYS)
    spec = ModelSpec(
      upgrade_section("model", json.loads(metadata["model"])),
      {key: data[key] for key in _DATA_KEYS},
      json.loads(metadata["class_names"]),
    )
  except (StorageError, InputError):
    raise
  except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
    reason = f"{error} is missing" if isinstance(error, KeyError) else error or "not readable"
    raise InputError(
      f"{file} must be a file that `hornet export` wrote: {reason}; it is {file_kind(file)}."
    ) from error
  return spec, traverse_util.unflatten_dict(tensors, sep="/")
