"""The page of training batches: what the model sees, with its targets."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from hornet_jax.report import figures
from hornet_jax.report.template import render_template

_SHOWN_SHARE = 0.005


@dataclasses.dataclass(frozen=True)
class ShownBatch:
  """Rows of one training batch.

  Attributes:
    step: of the training run, from 0.
    images: uint8 [b, H, W, 3], as the model sees them, back in the range of pixels.
    shares: of each class in the target, before label smoothing, [b, K].
    ratios: share of each row's own image, 1 where it is not mixed, [b].
    weights: 0 for rows that do not count, [b].
  """

  step: int
  images: np.ndarray
  shares: np.ndarray
  ratios: np.ndarray
  weights: np.ndarray


def render_batches(
  title: str,
  summary: str,
  command: str,
  class_names: Sequence[str],
  batches: Sequence[ShownBatch],
) -> str:
  """The page as HTML text that needs no other file and no network."""
  return render_template(
    "batches.html.j2",
    title=title,
    summary=summary,
    command=command,
    # Small images are shown larger than they are: pixel by pixel.
    rendering="pixelated" if batches[0].images.shape[1] < 112 else "auto",
    batches=[
      {
        "title": f"Step {batch.step}",
        "note": f"{np.sum(batch.ratios < 1)} of these {len(batch.images)} rows are mixed.",
        "images": [
          {
            "picture": figures.picture(image),
            "labels": _labels(shares, class_names),
            "counts": w > 0,
          }
          for image, shares, w in zip(batch.images, batch.shares, batch.weights, strict=True)
        ],
      }
      for batch in batches
    ],
  )


def _labels(shares: np.ndarray, class_names: Sequence[str]) -> list[dict[str, str]]:
  """The classes of one target, the largest share first."""
  order = np.argsort(-shares, kind="stable")
  return [
    {"name": class_names[k], "weight": f"{shares[k]:.2f}"}
    for k in order.tolist()
    if shares[k] > _SHOWN_SHARE
  ]
