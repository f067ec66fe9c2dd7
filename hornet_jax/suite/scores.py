"""Scores of predictions on the sets of the suite; accuracies and errors as fractions."""

import dataclasses
import json
from collections.abc import Sequence

import numpy as np
from etils import epath

from hornet_jax.data.preparing.imagenet.eval_archives import CORRUPTIONS, SEVERITIES
from hornet_jax.errors import InputError
from hornet_jax.tasks.predictions import Predictions

_NUM_BINS = 15

ALEXNET_ERRORS = {
  "gaussian_noise": 0.886428,
  "shot_noise": 0.894468,
  "impulse_noise": 0.922640,
  "defocus_blur": 0.819880,
  "glass_blur": 0.826268,
  "motion_blur": 0.785948,
  "zoom_blur": 0.798360,
  "snow": 0.866816,
  "frost": 0.826572,
  "fog": 0.819324,
  "brightness": 0.564592,
  "contrast": 0.853204,
  "elastic_transform": 0.646056,
  "pixelate": 0.717840,
  "jpeg_compression": 0.606500,
}
"""Top-1 error of AlexNet under each corruption, mean over the severities.

Source: https://github.com/hendrycks/robustness, the authors' code of arXiv 1903.12261.
"""


def calibration_error(predictions: Predictions) -> float:
  """Expected calibration error: sum over bins of n_bin / N |accuracy - mean confidence|.

  Source: arXiv 1706.04599, equation 3, with its 15 bins of equal width, (low, high].
  """
  bins = np.clip(np.ceil(predictions.confidence * _NUM_BINS) - 1, 0, _NUM_BINS - 1).astype(int)
  right = (predictions.rank < 1).astype(np.float64)
  gaps = np.bincount(bins, right - predictions.confidence, minlength=_NUM_BINS)
  return float(np.sum(np.abs(gaps)) / len(right))


@dataclasses.dataclass(frozen=True)
class RealScore:
  """Accuracy on reassessed labels.

  Attributes:
    accuracy: share of the images whose prediction is among their labels.
    num_images: number of images that have a label; the others do not count.
  """

  accuracy: float
  num_images: int


def real_score(predictions: Predictions, labels: Sequence[Sequence[int]]) -> RealScore:
  """Accuracy on ReaL. Source: arXiv 2006.07159, section 3.

  Args:
    predictions: predictions on imagenet2012/validation; `key` is the number of the image, from
      1 on.
    labels: labels of each image, in the order of the file names; none where its authors found none.
  """
  assert predictions.key is not None, "numbers of the images"
  right = [
    prediction in labels[number - 1]
    for prediction, number in zip(
      predictions.prediction.tolist(), predictions.key.tolist(), strict=True
    )
    if labels[number - 1]
  ]
  return RealScore(float(np.mean(right)) if right else float("nan"), len(right))


def read_real_labels(path: epath.Path) -> list[list[int]]:
  """The labels of real.json.

  Args:
    path: path of the file that https://github.com/google-research/reassessed-imagenet publishes:
      a list of 50,000 lists of class numbers.

  Raises:
    InputError: if it is none.
  """
  try:
    labels = json.loads(path.read_text())
  except (OSError, ValueError) as error:
    raise InputError(f"`real` must be the published real.json: {error}.") from error
  if (
    not isinstance(labels, list)
    or len(labels) != 50_000
    or not all(isinstance(of, list) and all(k in range(1000) for k in of) for of in labels)
  ):
    raise InputError(
      f"`real` must be the published real.json: expected 50,000 lists of numbers below 1,000 in "
      f"{path}, got {f'{len(labels):,} entries' if isinstance(labels, list) else 'no list'}."
    )
  return labels


def by_corruption(predictions: Predictions) -> dict[str, Predictions]:
  """The predictions of each corruption of ImageNet-C that is whole.

  Args:
    predictions: predictions on ImageNet-C; `key` as `corruption_of` gives it.

  Returns:
    Corruption -> its predictions, where it has all severities.
  """
  assert predictions.key is not None, "corruptions and severities"
  corruptions, severities = np.divmod(predictions.key, len(SEVERITIES))
  parts = {}
  for k, name in enumerate(CORRUPTIONS):
    chosen = corruptions == k
    if len(set(severities[chosen].tolist())) == len(SEVERITIES):
      parts[name] = predictions.select(chosen)
  return parts


def corruption_error(corruption: str, predictions: Predictions) -> float:
  """CE: top-1 error relative to AlexNet's, each a mean over the severities.

  Source: arXiv 1903.12261, section 4.2.

  Args:
    corruption: name of it.
    predictions: predictions of all severities.
  """
  assert predictions.key is not None, "corruptions and severities"
  severities = predictions.key % len(SEVERITIES)
  wrong = predictions.rank >= 1
  errors = [np.mean(wrong[severities == k]) for k in range(len(SEVERITIES))]
  return float(np.mean(errors)) / ALEXNET_ERRORS[corruption]


def mean_corruption_error(parts: dict[str, Predictions]) -> float | None:
  """mCE: the mean of all corruptions' CE; None unless every one is there."""
  if parts.keys() != ALEXNET_ERRORS.keys():
    return None
  return float(np.mean([corruption_error(name, part) for name, part in parts.items()]))
