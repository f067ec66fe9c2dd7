"""What a detector found in an image, on the host: boxes and masks of the image's own size."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from hornet_jax.dense.boxes.paste import paste_mask


@dataclasses.dataclass(frozen=True)
class FoundObjects:
  """These objects were found in an image, the surest first.

  Attributes:
    size: height and width of the image in pixels.
    boxes: corners (x0, y0, x1, y1) in its pixels, float32 [n, 4].
    scores: probability of the class of each, float32 [n].
    labels: classes, int32 [n].
    rles: masks of the whole image as COCO's compressed run lengths, n of them.
  """

  size: tuple[int, int]
  boxes: npt.NDArray[np.float32]
  scores: npt.NDArray[np.float32]
  labels: npt.NDArray[np.int32]
  rles: list[bytes]

  def __len__(self) -> int:
    return len(self.labels)

  def surer(self, least_score: float) -> "FoundObjects":
    """Returns those with at least a score."""
    count = int((self.scores >= least_score).sum())  # they are sorted
    return FoundObjects(
      self.size,
      self.boxes[:count],
      self.scores[:count],
      self.labels[:count],
      self.rles[:count],
    )


def read_found(results: Mapping[str, np.ndarray]) -> FoundObjects:
  """Reads what `Detection` computed of one image: masks are put into it, empty slots left out.

  Args:
    results: `own`, height and width [2]; `boxes` [D, 4]; `scores` [D]; `labels` [D], -1 in empty
      slots; `masks` [D, m, m], probabilities within the boxes.
  """
  size = (int(results["own"][0]), int(results["own"][1]))
  taken = results["labels"] >= 0
  boxes = results["boxes"][taken]
  masks = results["masks"][taken]
  return FoundObjects(
    size,
    boxes,
    results["scores"][taken],
    results["labels"][taken],
    [encode_mask(paste_mask(mask, box, size)) for mask, box in zip(masks, boxes, strict=True)],
  )


def encode_mask(mask: npt.NDArray[np.bool_]) -> bytes:
  """Encodes a mask, bool [H, W], as COCO's compressed run lengths."""
  from faster_coco_eval.core import mask as coder

  return coder.encode(np.asfortranarray(mask, np.uint8))["counts"]
