"""Pretrained models are loaded from a workdir or a file here, and written to a file."""

import os
import pathlib
from typing import Any, NamedTuple

from etils import epath

from hornet_jax.checkpoints.newest_valid import load_variables
from hornet_jax.config.build import build_eval_view, build_model
from hornet_jax.convert.checkpoint import SUFFIXES, read_checkpoint
from hornet_jax.convert.mmdet import mmdet_from_variables
from hornet_jax.convert.published import is_published, locate, variant_of
from hornet_jax.convert.to_mmseg import mmseg_from_variables
from hornet_jax.convert.to_official import official_from_params
from hornet_jax.convert.write_torch_file import torch_file
from hornet_jax.data.views.preprocess import Preprocessing
from hornet_jax.errors import InputError
from hornet_jax.file_kind import file_kind
from hornet_jax.files import write_file
from hornet_jax.models import Architecture
from hornet_jax.paths import check_reachable, expanded
from hornet_jax.pretrained.spec import CLASSIFICATION, ModelSpec, Weights, spec_of_config
from hornet_jax.pretrained.weights_file import (
  SUFFIX,
  check_file,
  read_weights_file,
  weights_of_checkpoint,
  write_model,
)
from hornet_jax.runs.workdir import load_class_names, load_class_numbers, load_config
from hornet_jax.tasks import get_task
from hornet_jax.train.ranking import ranking_key

_DETECTION = "detection"
OFFICIAL_SUFFIX = ".pth"
"""Files that end in it have official names and layouts."""


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
  """Loads a trained classifier: `model, params, preprocessing = load(path)`.

  Args:
    path: workdir of a run, file that `export` or `convert` wrote, published checkpoint (`.pth`,
      `.h5`, timm's `.safetensors`), or name of one, such as `official:hornet_tiny_gf` or
      `timm:NAME`. One of another architecture than the published ones has to go through `convert`.
    checkpoint: checkpoint of a workdir: `"last"`, `"best"` or the number of a step.
    raw: whether to load, of a workdir, the weights themselves instead of their moving average.

  Raises:
    InputError: if there is no trained classifier at `path`, or a file is to give one of several.
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
  """Reads the description and the parameters of a trained classifier; arguments as of `load`.

  Raises:
    InputError: if it is another model, or one whose parameters are not all that it has.
  """
  spec, params, state, _ = read_weights(path, checkpoint=checkpoint, raw=raw)
  if spec.task != CLASSIFICATION:
    raise InputError(
      f"{path} must hold a classifier: expected task classification, got {spec.task!r}. Hint: "
      "`predict`, `evaluate` and `train --init` know every task, and in Python "
      "hornet_jax.pretrained.task_model.load_task_model."
    )
  if state:
    raise InputError(
      f"{path} must hold a model whose parameters are all that it has: it also has "
      f"{', '.join(sorted(state))}. Hint: `predict` and `evaluate` take it as it is, and in Python "
      "hornet_jax.pretrained.task_model.load_task_model."
    )
  return spec, params


def read_weights(
  path: str | epath.PathLike, *, checkpoint: str | int = "last", raw: bool = False
) -> Weights:
  """Reads all that there is of a trained model of any task; arguments as of `load`.

  Raises:
    InputError: if there is no trained model at `path`, or a file is to give one of several.
  """
  name = os.fspath(path)
  check_reachable(name)
  path = expanded(path, "a path of weights")
  if is_one_file(name) and (raw or checkpoint != "last"):
    raise InputError(
      f"{name} holds the weights of one checkpoint: expected neither `checkpoint` nor `raw`, "
      f"got checkpoint={checkpoint!r}, raw={raw}. Hint: load the workdir instead."
    )
  if is_published(name):
    return weights_of_checkpoint(read_checkpoint(locate(name), variant=variant_of(name)))
  if path.suffix == SUFFIX:
    return read_weights_file(path)
  if path.suffix in SUFFIXES:
    return weights_of_checkpoint(read_checkpoint(pathlib.Path(path)))
  check_is_weights(path)
  config = load_config(path)
  spec = spec_of_config(config, load_class_names(path), load_class_numbers(path))
  ranked_by = ranking_key(get_task(config["task"]))
  step, raw_variables, averaged = load_variables(path / "checkpoints", checkpoint, ranked_by)
  state = dict(raw_variables if raw else averaged)
  return Weights(spec, state.pop("params"), state, step)


def to_pretrained(spec: ModelSpec, params: dict[str, Any]) -> PretrainedModel:
  """Builds the classifier that `spec` describes, with these parameters."""
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


def export(source: str | epath.PathLike, file: epath.Path, checkpoint: str | int = "last") -> str:
  """Writes the averaged weights of a run of any task to one file.

  Args:
    source: workdir of the run, or a file of weights.
    file: path of the new file. One that ends in `.safetensors` is ours, see `write_model`; one that
      ends in `.pth` has the names and layouts of the official implementation, or of mmseg or mmdet
      for segmentation and detection, for PyTorch.
    checkpoint: checkpoint of the run: `"last"`, `"best"` or the number of a step.

  Returns:
    The name of the task, `NO_TASK` for a backbone.

  Raises:
    InputError: if there is no such checkpoint, the file cannot be written, or the model has no
      official layout.
  """
  check_file(file, (SUFFIX, OFFICIAL_SUFFIX))
  weights = read_weights(source, checkpoint=checkpoint)
  spec, params, state, step = weights
  if file.suffix == SUFFIX:
    write_model(file, spec, params, {} if step is None else {"step": str(step)}, state)
    return spec.task
  content: dict[str, Any]
  if spec.task == CLASSIFICATION and not state:
    content = {"model": official_from_params(params)}
  else:
    names = {"CLASSES": tuple(spec.class_names)}
    to_theirs = mmdet_from_variables if spec.task == _DETECTION else mmseg_from_variables
    content = {"meta": names, "state_dict": to_theirs(weights.variables)}
  write_file(file, torch_file(content))
  return spec.task
