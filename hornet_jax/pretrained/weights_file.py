"""Trained models of any task are written to one safetensors file here, and read from it."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy
from etils import epath
from flax import traverse_util
from safetensors import SafetensorError

from hornet_jax.config.upgrade import upgrade_section
from hornet_jax.convert.checkpoint import read_checkpoint
from hornet_jax.convert.converted import Converted
from hornet_jax.errors import InputError, StorageError
from hornet_jax.file_kind import file_kind
from hornet_jax.files import make_folder, retried, write_file
from hornet_jax.pretrained.spec import (
  CLASSIFICATION,
  ModelSpec,
  Weights,
  evaluation_settings,
  spec_of_checkpoint,
  task_keys,
)

SUFFIX = ".safetensors"


def check_file(file: epath.Path, suffixes: tuple[str, ...] = (SUFFIX,)) -> None:
  """Makes the folder of a model's file; raises `InputError` unless it ends in a known suffix."""
  if file.suffix not in suffixes:
    raise InputError(f"`out` must end in {' or '.join(suffixes)}: got {file.name!r}.")
  make_folder(file.parent)


def write_model(
  file: epath.Path,
  spec: ModelSpec,
  params: Any,
  notes: Mapping[str, str],
  state: Mapping[str, Any] | None = None,
) -> None:
  """Writes a model to one safetensors file, which `load` reads and which holds no code.

  The tensors are named by their paths in the parameter tree, such as
  `stage_0/block_0/gnconv/proj_in/kernel`; those of other collections have the name of theirs
  before it, as `batch_stats/head/decode/fusion/bn/mean`. The metadata hold the model, the
  preprocessing, the task with its settings, the names of the collections, and the names of the
  classes and their numbers in annotations, as JSON.

  Args:
    file: path of the new file.
    spec: description of the model.
    params: parameters of the model, blocks apart.
    notes: further metadata, such as the number of the step or the source.
    state: its other collections, such as batch statistics; None where it has none.
  """
  state = state or {}
  metadata = {
    "model": json.dumps(spec.model),
    "data": json.dumps(evaluation_settings(spec)),
    "class_names": json.dumps(list(spec.class_names)),
    "class_numbers": json.dumps(list(spec.class_numbers)),
    "task": json.dumps(spec.task),
    "settings": json.dumps(spec.settings),
    "collections": json.dumps(sorted(state)),
    **notes,
  }
  tensors = traverse_util.flatten_dict(params, sep="/")
  tensors |= traverse_util.flatten_dict(dict(state), sep="/")
  contiguous = {path: np.ascontiguousarray(leaf) for path, leaf in tensors.items()}
  write_file(file, safetensors.numpy.save(contiguous, metadata))


def read_weights_file(file: epath.Path) -> Weights:
  """Reads description and arrays from a file that `write_model` wrote, or timm.

  Raises:
    InputError: if it is neither.
  """
  try:
    content = retried(f"reading {file}", file.read_bytes)
    tensors = safetensors.numpy.load(content)
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    if not metadata.keys() & {"model", "data", "class_names"}:
      return weights_of_checkpoint(read_checkpoint(pathlib.Path(file)))
    spec = _spec(metadata)
    collections = json.loads(metadata.get("collections", "[]"))
    in_order = dict(sorted(tensors.items()))  # safetensors has another one at each reading
    tree = traverse_util.unflatten_dict(in_order, sep="/")
    return Weights(spec, tree, {name: tree.pop(name) for name in collections})
  except (StorageError, InputError):
    raise
  except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
    reason = f"{error} is missing" if isinstance(error, KeyError) else error or "not readable"
    raise InputError(
      f"{file} must be a file that `hornet export` wrote: {reason}; it is {file_kind(file)}."
    ) from error


def _spec(metadata: Mapping[str, str]) -> ModelSpec:
  described = ModelSpec(
    upgrade_section("model", json.loads(metadata["model"])),
    json.loads(metadata["data"]),
    json.loads(metadata["class_names"]),
  )
  # Files of before other tasks had any hold classifiers.
  task = json.loads(metadata.get("task", json.dumps(CLASSIFICATION)))
  settings = json.loads(metadata.get("settings", "{}"))
  if names := task_keys(task):
    settings = upgrade_section(task, settings, names)
  return described._replace(
    data=evaluation_settings(described),
    task=task,
    settings=settings,
    class_numbers=json.loads(metadata.get("class_numbers", "[]")),
  )


def weights_of_checkpoint(checkpoint: Converted, image_size: int | None = None) -> Weights:
  """Makes weights of what `read_checkpoint` has read, see `spec_of_checkpoint`."""
  spec, params = spec_of_checkpoint(checkpoint, image_size)
  return Weights(spec, params, checkpoint.state)
