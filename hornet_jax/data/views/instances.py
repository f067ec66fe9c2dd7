"""What is seen on an image, thing by thing: boxes, classes and masks."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from hornet_jax.data.datasets import OBJECTS

_LEAST_SIDE = 1.0  # pixel
_LOST = 1e-3  # pixels of a side
_HALF = 128  # of 255


@dataclasses.dataclass(frozen=True)
class Instances:
  """The things of an image, as its example tells of them.

  Attributes:
    size: height and width of the image in pixels.
    boxes: corners (x0, y0, x1, y1) in pixels, float64 [n, 4].
    labels: classes, int32 [n].
    is_crowd: whether each is many things that nobody told apart, bool [n].
    areas: pixels of each, as its dataset counts them, float32 [n].
    rles: masks of the whole image as COCO's compressed run lengths, n of them.
  """

  size: tuple[int, int]
  boxes: npt.NDArray[np.float64]
  labels: npt.NDArray[np.int32]
  is_crowd: npt.NDArray[np.bool_]
  areas: npt.NDArray[np.float32]
  rles: Sequence[bytes]

  def __len__(self) -> int:
    return len(self.labels)

  def taken(self, where: np.ndarray) -> "Instances":
    """Returns those that a mask, bool [n], or positions, int [k], choose."""
    chosen = np.arange(len(self))[where]
    return dataclasses.replace(
      self,
      boxes=self.boxes[chosen],
      labels=self.labels[chosen],
      is_crowd=self.is_crowd[chosen],
      areas=self.areas[chosen],
      rles=[self.rles[k] for k in chosen],
    )

  def for_training(self) -> "Instances":
    """Returns what is trained on: no crowds, and nothing under a pixel wide, high or in area.

    Source: mmdet `CocoDataset._parse_ann_info`.
    """
    height, width = self.size
    clipped = np.clip(self.boxes, 0, (width, height, width, height))
    inside = (clipped[:, 2:] > clipped[:, :2]).all(-1)
    large = (self.boxes[:, 2:] - self.boxes[:, :2] >= _LEAST_SIDE).all(-1) & (self.areas > 0)
    return self.taken(inside & large & ~self.is_crowd)


def read_instances(example: Mapping[str, Any]) -> Instances:
  """Reads the things of an example of a dataset with the target `OBJECTS`.

  Args:
    example: example as stored, with `height`, `width` and `objects`, whose `bbox` is (x, y, width,
      height).
  """
  objects = example[OBJECTS]
  rles = [bytes(rle) for rle in objects["rle"]]
  boxes = np.asarray(objects["bbox"], np.float64).reshape(len(rles), 4)
  return Instances(
    size=(int(example["height"]), int(example["width"])),
    boxes=np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
    labels=np.asarray(objects["label"], np.int32).reshape(-1),
    is_crowd=np.asarray(objects["is_crowd"], bool).reshape(-1),
    areas=np.asarray(objects["area"], np.float32).reshape(-1),
    rles=rles,
  )


def whole_mask(rle: bytes, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
  """Decodes a mask to 0 and 1, uint8 [H, W].

  Args:
    rle: compressed run lengths.
    size: height and width of the image.
  """
  from faster_coco_eval.core import mask

  return mask.decode({"size": list(size), "counts": rle})


def bitmap(
  mask: npt.NDArray[np.uint8], box: npt.NDArray[np.float64], side: int
) -> npt.NDArray[np.uint8]:
  """Scales what a box holds of a mask to a square of 0 and 1, uint8 [m, m].

  Pixels of the square are 1 where at least half of what lies under them is, by Pillow's bilinear
  filter, which weighs all pixels of a mask that is made smaller.

  Args:
    mask: mask of the whole image, of 0 and 1, [H, W].
    box: corners (x0, y0, x1, y1) in the pixels of the mask, which lie within it.
    side: side m of the square.
  """
  x0, y0, x1, y1 = box.tolist()
  # A part of the mask, with a margin for the filter, costs less than all of it.
  left, top = max(int(x0) - 2, 0), max(int(y0) - 2, 0)
  part = mask[top : int(y1) + 3, left : int(x1) + 3]
  height, width = part.shape
  window = (x0 - left, y0 - top, min(x1 - left, width), min(y1 - top, height))
  image = Image.fromarray(part * np.uint8(255))
  scaled = image.resize((side, side), Image.Resampling.BILINEAR, box=window)
  return (np.asarray(scaled) >= _HALF).astype(np.uint8)


def cut_boxes(
  boxes: npt.NDArray[np.float64], window: Sequence[float]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
  """Cuts boxes off at a window, and tells which of them it holds something of.

  Args:
    boxes: corners, [n, 4].
    window: corners (x0, y0, x1, y1) likewise.

  Returns:
    The boxes, [n, 4], and whether more than a thousandth of a pixel is left of both sides, [n].
  """
  x0, y0, x1, y1 = window
  cut = np.clip(boxes, (x0, y0, x0, y0), (x1, y1, x1, y1))
  return cut, np.all(cut[:, 2:] - cut[:, :2] > _LOST, axis=-1)
