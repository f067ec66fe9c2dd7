"""The training loop knows a task by this face alone.

A task owns what differs between, say, classification and segmentation: what is loaded of an
example, what the devices make of it, the loss, and what a prediction is worth. The loop,
checkpoints, planning, evaluation and reports own the rest.
"""

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Array, Float, Key

from hornet_jax.data.datasets import LABEL, Split
from hornet_jax.data.schema import Schema
from hornet_jax.models import Architecture
from hornet_jax.train.metric import Metric
from hornet_jax.train.shown_task import ShownTask

Outputs = tuple[Any, dict[str, Array]]
"""What a model returns: its result, an array or a tree of them, and its named intermediates."""

Forward = Callable[..., Outputs]
"""A model with its variables, applied to normalised images, [B, H, W, C], and to what its head
takes beside them, `forward(images, context)`, see `Task.context`."""


class Task(ShownTask):
  """A task says what is loaded, learned and measured, and what people are shown of it.

  A task derives from it, as a frozen dataclass that can be pickled: processes that read have
  copies of it.

  Attributes:
    primary: the name, among what its metric computes, of the number by which checkpoints are
      ranked; higher is better.
    target: what a dataset must tell of its images: their class or that of their pixels.
    schema: fields of an example that is loaded for training, `image` among them; `weight` and
      `index` are added, see `batch_schema`.
    eval_schema: those of an example that is loaded for evaluation.
    predict_together: number of images that are predicted at once; 1 where their arrays differ.
  """

  primary: ClassVar[str]
  target: ClassVar[str] = LABEL
  predict_together: ClassVar[int] = 32

  @classmethod
  @abc.abstractmethod
  def from_config(cls, config: Mapping[str, Any], num_classes: int) -> "Task":
    """Makes the task that a config describes.

    Args:
      config: nested, with the keys of `config.schema`.
      num_classes: number of classes of the dataset; 0 where it has none.

    Raises:
      InputError: if a setting is bad.
    """
    ...

  @property
  @abc.abstractmethod
  def schema(self) -> Schema: ...

  @property
  def eval_schema(self) -> Schema:
    return self.schema  # unless a task says otherwise

  @property
  def schemas(self) -> Sequence[Schema]:
    """Fields of an example of each kind, the largest first; a batch has examples of one kind."""
    return (self.schema,)  # unless a task says otherwise

  @property
  def eval_schemas(self) -> Sequence[Schema]:
    """Those of an example that is loaded for evaluation, for the same kinds."""
    return (self.eval_schema,)  # unless a task says otherwise

  def kinds(self, split: Split) -> np.ndarray | None:
    """Tells the kind of each example of a split, int [N], a number of `schemas`; None for one."""
    del split  # there is one, unless a task says otherwise
    return None

  def for_evaluation(self, splits: Sequence[Split]) -> "Task":
    """Fits the task to the splits that are evaluated, such as to the size of their images.

    Raises:
      InputError: if one cannot be evaluated.
    """
    del splits  # any will do, unless a task says otherwise
    return self

  def check_training(self, split: Split) -> None:
    """Raises `InputError` where a split cannot be learned from, before anything is computed."""
    del split  # any will do, unless a task says otherwise

  def check_batch(self, batch_size: int, num_devices: int) -> None:
    """Raises `InputError` where it cannot train on batches of a size.

    Args:
      batch_size: rows of the global batch, or of a micro-batch.
      num_devices: number of devices over which the rows are spread.
    """
    del batch_size, num_devices  # any will do, unless a task says otherwise

  @classmethod
  def fitted_to_rows(
    cls, config: Mapping[str, Any], rows: int
  ) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Fits a config to the rows that each device of a plan has, where it would be refused.

    Args:
      config: nested, with the keys of `config.schema`.
      rows: rows of a batch, or of a micro-batch, on each device.

    Returns:
      The config, and what was changed, one line each.

    Raises:
      InputError: if it cannot be trained so.
    """
    del rows  # any will do, unless a task says otherwise
    return config, ()

  @abc.abstractmethod
  def load(self, example: Mapping[str, Any], rng: np.random.Generator | None) -> dict[str, Any]:
    """Makes of an example as stored what the schema says; runs on the host.

    Args:
      example: example as the dataset has it, its image encoded.
      rng: source of what is drawn in training; None to evaluate.

    Raises:
      UndecodableImageError: if it cannot be decoded; the loop pads its row.
    """
    ...

  @abc.abstractmethod
  def decode(self, encoded: bytes) -> np.ndarray:
    """Decodes an image as `load` does; runs on the host.

    Raises:
      UndecodableImageError: if it cannot be decoded.
    """
    ...

  @abc.abstractmethod
  def eval_arrays(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Makes of a decoded image what `eval_schema` says, as far as no truth is needed.

    Args:
      pixels: the image as `decode` gave it, of its own size.

    Returns:
      What `inputs` and `infer` take of one image.
    """
    ...

  @abc.abstractmethod
  def build(self, backbone: Architecture) -> Architecture:
    """Puts the task's head on a backbone.

    Args:
      backbone: architecture without a head.
    """
    ...

  @abc.abstractmethod
  def inputs(
    self, batch: Mapping[str, Array], keys: Key[Array, "B"] | None, train: bool
  ) -> dict[str, Array]:
    """Makes of a batch what the model and the loss take; runs on the device.

    Args:
      batch: arrays as `batch_schema` describes them; to predict, those of `eval_arrays`.
      keys: one random key a row; None to evaluate.
      train: whether the batch is to be augmented.

    Returns:
      The batch, and what the task adds to it; in training `image` is normalised.
    """
    ...

  def context(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Chooses what the model's head takes beside feature maps, such as objects to learn from.

    Args:
      inputs: what `inputs` made of a batch to train on.
    """
    del inputs  # nothing, unless a task says otherwise
    return {}

  @abc.abstractmethod
  def loss(self, outputs: Outputs, inputs: Mapping[str, Array]) -> Float[Array, "B"]:
    """Computes the loss of each example in training."""
    ...

  @abc.abstractmethod
  def predict(self, forward: Forward, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Computes all that leaves the devices in an evaluation: of each example, fixed shapes.

    Args:
      forward: the model, to be called once, such as `forward(inputs["image"])`, or several times;
        a second argument is what its head takes beside the feature maps.
      inputs: what `inputs` made of a batch.
    """
    ...

  @abc.abstractmethod
  def infer(self, forward: Forward, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Computes what `answer` needs where no truth is known; runs on the device like `predict`."""
    ...

  @abc.abstractmethod
  def metric(self, split: Split) -> Metric:
    """Makes a metric that has gathered nothing.

    Args:
      split: what will be evaluated.
    """
    ...
