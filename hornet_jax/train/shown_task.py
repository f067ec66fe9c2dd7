"""What people are shown of a task: the numbers of an evaluation, and what is said of an image."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from hornet_jax.data.datasets import Split
from hornet_jax.train.metric import Metric
from hornet_jax.train.presentation import Answer, Captions, Score, Section


class ShownTask(abc.ABC):
  """The half of a task's face that writes and draws.

  Attributes:
    scores: the numbers that people are shown, the primary one first.
    draws: names of the pictures that its answers have, such as `mask`.
  """

  scores: ClassVar[tuple[Score, ...]]
  draws: ClassVar[Sequence[str]] = ()

  @abc.abstractmethod
  def answer_columns(self, top: int) -> Sequence[str]:
    """Names the columns of `Answer.rows`.

    Args:
      top: largest number of things to say of an image, such as classes.
    """
    ...

  @abc.abstractmethod
  def answer(
    self,
    inferred: Mapping[str, np.ndarray],
    pixels: np.ndarray,
    class_names: Sequence[str],
    top: int,
  ) -> Answer:
    """Says what was found in an image; runs on the host.

    Args:
      inferred: what `infer` gave for this image.
      pixels: the image as `decode` gave it, of its own size.
      class_names: names of the dataset's classes.
      top: largest number of things to say.
    """
    ...

  def documents(
    self, answers: Sequence[tuple[str, Answer]], classes: Sequence[tuple[str, int]]
  ) -> dict[str, str]:
    """Writes what a folder of answers holds beside pictures: texts by the names of their files.

    Args:
      answers: path of each image, and what `answer` said of it.
      classes: name of each class of the dataset, and its number in the annotations.
    """
    return {}  # nothing, unless a task says otherwise

  def captions(self, inputs: Mapping[str, np.ndarray], class_names: Sequence[str]) -> Captions:
    """Writes what a page of training batches says beside their images.

    Args:
      inputs: the first rows of what `inputs` made of a batch, on the host.
      class_names: names of the dataset's classes.
    """
    del class_names
    return Captions("as the model sees them.", "", [[] for _ in inputs["weight"]])

  def headline(self) -> tuple[Score, ...]:
    """Picks the scores that the head of a report shows."""
    return self.scores

  def sections(self, metric: Metric, split: Split) -> Sequence[Section]:
    """Makes what a report shows of an evaluation, beside its numbers.

    Args:
      metric: metric of the averaged weights; it has seen every example of the split.
      split: evaluated; its examples are read again where they are shown.
    """
    del metric, split  # nothing, unless a task says otherwise
    return ()

  def tables(
    self, metric: Metric, class_names: Sequence[str]
  ) -> dict[str, Sequence[Mapping[str, Any]]]:
    """Makes what an evaluation can be asked for beside its numbers: tables by their names.

    Args:
      metric: metric that has seen every example of a split.
      class_names: names of the dataset's classes.

    Returns:
      Rows of each table, which have the same columns.
    """
    del metric, class_names  # none, unless a task says otherwise
    return {}
