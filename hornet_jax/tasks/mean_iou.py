"""How well a segmentation agrees with the truth, from one integer confusion matrix of a split."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int, Integer


class MeanIou:
  """The metric of segmentation: it adds up how often each class was taken for each other one.

  Source: `mIoU`, `aAcc` and `mAcc` of mmseg's `IoUMetric`.
  """

  def __init__(self, num_classes: int):
    """Starts with nothing.

    Args:
      num_classes: K.
    """
    self.confusion = np.zeros((num_classes, num_classes), np.int64)  # [true, predicted]
    self._losses: list[np.ndarray] = []
    self._indices: list[np.ndarray] = []
    self._ious: list[np.ndarray] = []

  @property
  def count(self) -> int:
    """Number of images gathered."""
    return sum(map(len, self._indices))

  def update(self, results: Mapping[str, np.ndarray]) -> None:
    """Adds some images: their `confusion`, int [n, K, K], `loss` [n] and `index` [n]."""
    confusion = results["confusion"].astype(np.int64)
    self.confusion += confusion.sum(axis=0)
    self._losses.append(results["loss"])
    self._indices.append(results["index"])
    self._ious.append(np.array([mean_iou(one) for one in confusion]))

  def merge(self, other: "MeanIou") -> "MeanIou":
    """Joins two, the images of the other after its own."""
    both = MeanIou(len(self.confusion))
    both.confusion = self.confusion + other.confusion
    both._losses = [*self._losses, *other._losses]
    both._indices = [*self._indices, *other._indices]
    both._ious = [*self._ious, *other._ious]
    return both

  def by_image(self) -> tuple[np.ndarray, np.ndarray]:
    """Gives the numbers of the images in their split, and the mean IoU of each alone, [n]."""
    return np.concatenate(self._indices), np.concatenate(self._ious)

  def compute(self) -> dict[str, float]:
    """Computes the mean loss; mean IoU, pixel accuracy and mean class accuracy as fractions."""
    true = self.confusion.sum(axis=1)
    right = np.diagonal(self.confusion)
    found = true > 0
    return {
      "loss": float(np.mean(np.concatenate(self._losses), dtype=np.float64)),
      "miou": mean_iou(self.confusion),
      "pixel_accuracy": float(right.sum() / max(true.sum(), 1)),
      "mean_class_accuracy": float(np.mean(right[found] / true[found])) if found.any() else 0.0,
    }

  def per_class(self, class_names: Sequence[str]) -> list[dict[str, object]]:
    """Makes a row for each class that occurs or was predicted: IoU, accuracy and pixels."""
    true, predicted = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
    ious = class_ious(self.confusion)
    return [
      {
        "class": name,
        "pixels": int(true[k]),
        "predicted": int(predicted[k]),
        "iou": float(ious[k]),
        "accuracy": float(self.confusion[k, k] / true[k]) if true[k] else float("nan"),
      }
      for k, name in enumerate(class_names)
      if true[k] or predicted[k]
    ]


def class_ious(confusion: np.ndarray) -> np.ndarray:
  """Gives intersection over union of each class, [K]; NaN where there is no union.

  Args:
    confusion: numbers of pixels, [true, predicted].
  """
  right = np.diagonal(confusion)
  union = confusion.sum(axis=0) + confusion.sum(axis=1) - right
  return np.where(union > 0, right / np.maximum(union, 1), np.nan)


def mean_iou(confusion: np.ndarray) -> float:
  """Averages the IoU over the classes that occur or were predicted; 0 where there is none.

  Args:
    confusion: numbers of pixels, [true, predicted].
  """
  ious = class_ious(confusion)
  return float(np.nanmean(ious)) if np.isfinite(ious).any() else 0.0


def count_confusion(
  predicted: Integer[Array, "B H W"], true: Integer[Array, "B H W"], num_classes: int
) -> Int[Array, "B K K"]:
  """Counts the pixels of each true and predicted class of each image, exactly.

  It is a product of indicators, which an accelerator does at once; sums stay below 2^24.

  Args:
    predicted: predicted classes.
    true: true classes; those from `num_classes` on are not counted.
    num_classes: K.
  """
  classes = jnp.arange(num_classes)[None, None]
  flat = (values.reshape(len(values), -1, 1) for values in (true, predicted))
  is_true, is_predicted = ((values == classes).astype(jnp.bfloat16) for values in flat)
  counts = lax.dot_general(
    is_true, is_predicted, (((1,), (1,)), ((0,), (0,))), preferred_element_type=jnp.float32
  )
  return counts.astype(jnp.int32)
