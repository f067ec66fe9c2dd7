"""How well a segmentation agrees with the truth, from one integer confusion matrix of a split."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int, Integer

from hornet_jax.tasks.preview import Preview

_PREVIEWS = 4  # of the best and of the worst images, that are kept


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
    self._best: list[Preview] = []
    self._worst: list[Preview] = []

  @property
  def count(self) -> int:
    """Number of images gathered."""
    return sum(map(len, self._indices))

  def update(self, results: Mapping[str, np.ndarray]) -> None:
    """Adds some images.

    Args:
      results: their `confusion`, int [n, K, K], `loss` [n], `index` [n] and `preview`, uint8
        [n, P, P], see `take_preview`.
    """
    confusion = results["confusion"].astype(np.int64)
    self.confusion += confusion.sum(axis=0)
    self._losses.append(results["loss"])
    self._indices.append(results["index"])
    self._ious.append(np.array([mean_iou(one) for one in confusion]))
    self._keep(
      [
        Preview(int(index), float(iou), classes)
        for index, iou, classes, counts in zip(
          results["index"], self._ious[-1], results["preview"], confusion, strict=True
        )
        if counts.any()  # of an image without a pixel that counts there is nothing to see
      ]
    )

  def merge(self, other: "MeanIou") -> "MeanIou":
    """Joins two, the images of the other after its own."""
    both = MeanIou(len(self.confusion))
    both.confusion = self.confusion + other.confusion
    both._losses = [*self._losses, *other._losses]
    both._indices = [*self._indices, *other._indices]
    both._ious = [*self._ious, *other._ious]
    both._keep([*self._best, *self._worst, *other._best, *other._worst])
    return both

  def _keep(self, previews: Sequence[Preview]) -> None:
    """Keeps the few best and worst of these and of those that are kept."""
    known = {preview.index: preview for preview in (*self._best, *self._worst, *previews)}
    ranked = sorted(known.values(), key=lambda preview: (-preview.iou, preview.index))
    self._best, self._worst = ranked[:_PREVIEWS], ranked[: -_PREVIEWS - 1 : -1]

  def best(self) -> list[Preview]:
    """Lists the images with the largest mean IoU of their own, the best first."""
    return self._best

  def worst(self) -> list[Preview]:
    """Lists those with the smallest, the worst first, and none that is among the best."""
    best = {preview.index for preview in self._best}
    return [preview for preview in self._worst if preview.index not in best]

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
    """Makes a row for each class that occurs or was predicted: IoU, accuracy and pixels.

    The accuracy of a class that does not occur is None: JSON has no NaN.
    """
    true, predicted = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
    ious = class_ious(self.confusion)
    return [
      {
        "class": name,
        "pixels": int(true[k]),
        "predicted": int(predicted[k]),
        "iou": float(ious[k]),
        "accuracy": float(self.confusion[k, k] / true[k]) if true[k] else None,
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
