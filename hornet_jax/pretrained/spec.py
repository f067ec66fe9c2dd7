"""A `ModelSpec` describes a trained model of any task without its parameters."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hornet_jax.config.flat import nest
from hornet_jax.config.schema import SCHEMA
from hornet_jax.config.upgrade import upgrade_section
from hornet_jax.convert.converted import NO_TASK, Converted
from hornet_jax.data.imagenet_classes import synsets
from hornet_jax.data.pixels.normalize import IMAGENET_MEAN, IMAGENET_STD
from hornet_jax.errors import InputError
from hornet_jax.models import Architecture
from hornet_jax.tasks.build import build_task
from hornet_jax.tasks.settings_of_test import with_test_settings
from hornet_jax.train.task import Task

CLASSIFICATION = "classification"
_DATA_KEYS = [name.removeprefix("data.") for name, key in SCHEMA.items() if key.evaluation]


class ModelSpec(NamedTuple):
  """A `ModelSpec` describes a model without its parameters, as a file or a config holds it.

  Attributes:
    model: settings of the model, with the keys of `config.model`.
    data: settings of its evaluation, with keys of `config.data`.
    class_names: names of the classes, in the order of the logits.
    task: name of the task that it was trained for; `NO_TASK` for a backbone and its level norms.
    settings: settings of that task, with the keys of the config's section of its name; empty
      where there is none.
    class_numbers: number of each class in the annotations of its dataset; empty where untold.
  """

  model: Mapping[str, Any]
  data: Mapping[str, Any]
  class_names: Sequence[str]
  task: str = CLASSIFICATION
  settings: Mapping[str, Any] = {}
  class_numbers: Sequence[int] = ()


class Weights(NamedTuple):
  """All that a file or a checkpoint holds of a trained model.

  Attributes:
    spec: description of the model.
    params: parameters, float32, on the host, blocks apart.
    state: its other collections, such as batch statistics; empty where it has none.
    step: number of the step that they are of; None for a file.
  """

  spec: ModelSpec
  params: dict[str, Any]
  state: Mapping[str, Any] = {}
  step: int | None = None

  @property
  def variables(self) -> dict[str, Any]:
    """Gives what the model is applied with."""
    return {"params": self.params, **self.state}


def evaluation_settings(spec: ModelSpec) -> dict[str, Any]:
  """Returns those of the data settings that evaluation depends on, with what keys of now add."""
  settings = upgrade_section("data", dict(spec.data), _DATA_KEYS)
  return {key: settings[key] for key in _DATA_KEYS}


def task_keys(task: str) -> list[str]:
  """Lists the keys, without the section, of the config's section of a task."""
  return [name.removeprefix(f"{task}.") for name in SCHEMA if name.startswith(f"{task}.")]


def readers(task: str) -> str:
  """Says in words what reads a file of weights of a task; of `NO_TASK` only a start does."""
  start = "runs of segmentation and detection, by `hornet train --init`,"
  used = "`hornet predict --workdir` and `hornet train --init`"
  return {NO_TASK: start, CLASSIFICATION: f"`hornet_jax.load`, {used}"}.get(task, used)


def spec_of_config(
  config: Mapping[str, Any], class_names: Sequence[str], class_numbers: Sequence[int] = ()
) -> ModelSpec:
  """Describes the model of a run.

  Args:
    config: nested config of the run.
    class_names: names of the dataset's classes.
    class_numbers: their numbers in its annotations; empty where untold.
  """
  task = config["task"]
  settings = {key: config[task][key] for key in task_keys(task)}
  return ModelSpec(config["model"], config["data"], class_names, task, settings, class_numbers)


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
  known, count, task = synsets(), checkpoint.num_classes, checkpoint.task
  class_names: Sequence[str] = checkpoint.class_names or [str(k) for k in range(count)]
  if task == CLASSIFICATION and count == len(known):
    class_names = known
  model = {"variant": checkpoint.variant, "dtype": "float32", **checkpoint.overrides}
  settings = {key: SCHEMA[f"{task}.{key}"].default for key in task_keys(task)}
  settings |= checkpoint.settings
  return ModelSpec(model, data, class_names, task, settings), checkpoint.params


def build_spec(
  spec: ModelSpec, test_settings: Mapping[str, Any] | None = None
) -> tuple[Task, Architecture]:
  """Builds the task that a spec describes, and its model.

  Keys that only training reads have their defaults.

  Args:
    spec: description of the model.
    test_settings: values of keys that say how a trained model is tested, by their dotted names, in
      place of those of the spec.

  Raises:
    InputError: if it is a backbone for no task, or a setting is bad.
  """
  if spec.task == NO_TASK:
    raise InputError(
      "the weights must have a head: expected those of a trained task, got a backbone and the "
      "norms of its levels alone. Hint: `hornet train --init` starts from them."
    )
  config = nest({name: key.default for name, key in SCHEMA.items()})
  data, settings = config["data"] | dict(spec.data), dict(spec.settings)
  config |= {"task": spec.task, "model": dict(spec.model), "data": data}
  config[spec.task] = config.get(spec.task, {}) | settings
  config = with_test_settings(config, test_settings or {})
  return build_task(config, len(spec.class_names))
