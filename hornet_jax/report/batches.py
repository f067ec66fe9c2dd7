"""This module makes the page of training batches: what the model sees, with its targets."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from hornet_jax.report import figures
from hornet_jax.report.template import render_template
from hornet_jax.train.presentation import Captions

_SIDE_WITH_TARGETS = 320  # pixels of a picture


@dataclasses.dataclass(frozen=True)
class ShownBatch:
  """A `ShownBatch` holds rows of one training batch.

  Attributes:
    step: step of the training run, from 0.
    images: images as the model sees them, back in the range of pixels, uint8 [b, H, W, 3].
    captions: text beside them.
    weights: weight of each row, 0 where it does not count, [b].
  """

  step: int
  images: np.ndarray
  captions: Captions
  weights: np.ndarray


def render_batches(
  title: str,
  summary: str,
  command: str,
  batches: Sequence[ShownBatch],
) -> str:
  """Makes the page as HTML text that needs no other file and no network."""
  # What lies where in an image takes more pixels to see than what it shows.
  side = _SIDE_WITH_TARGETS if batches[0].captions.targets else figures.MAX_PICTURE_SIDE
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
        "note": batch.captions.note,
        "images": [
          {
            "picture": figures.picture(image, side),
            "target": None if target is None else figures.picture(target, side),
            "labels": [
              {"name": name, "weight": value, "colour": batch.captions.colours.get(name)}
              for name, value in labels
            ],
            "counts": w > 0,
          }
          for image, target, labels, w in zip(
            batch.images,
            batch.captions.targets or itertools.repeat(None, len(batch.images)),
            batch.captions.rows,
            batch.weights,
            strict=True,
          )
        ],
      }
      for batch in batches
    ],
  )
