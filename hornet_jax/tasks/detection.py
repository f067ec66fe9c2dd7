"""Detection: box, class and mask of every object, by Mask R-CNN or its cascade on any backbone."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from hornet_jax.data.datasets import OBJECTS, Split, file_of
from hornet_jax.data.pixels.imaging import get_imaging
from hornet_jax.data.pixels.normalize import IMAGENET_MEAN, IMAGENET_STD, normalize
from hornet_jax.data.schema import Field, Schema
from hornet_jax.data.seen_on_images import check_room, image_sizes
from hornet_jax.data.views.detection_view import DetectionView
from hornet_jax.data.views.instances import read_instances
from hornet_jax.dense import attach_detector
from hornet_jax.errors import InputError
from hornet_jax.models import Architecture
from hornet_jax.tasks.average_precision import AveragePrecision, check_counts
from hornet_jax.tasks.coco_results import coco_results
from hornet_jax.tasks.found_objects import read_found
from hornet_jax.tasks.shown_objects import (
  class_section,
  object_answer,
  object_captions,
  object_tables,
  picture_section,
)
from hornet_jax.train.metric import Metric
from hornet_jax.train.presentation import Answer, Captions, Score, Section
from hornet_jax.train.task import Forward, Outputs, Task

# Keys of the section `detection` of a config that are fields of `DetectionView`, ...
_VIEW = (
  *("long_side", "short_side", "short_sides", "crop_short_sides", "crop_sides", "crop_rate"),
  *("max_objects", "mask_side"),
)
# ... arguments of `attach_detector`, ...
_NETWORK = (
  *("kind", "neck", "channels", "hidden", "proposals", "compared", "anchor_samples", "samples"),
  *("detections", "least_score"),
)
# ... and fields of an example, its objects.
_LEARNED = ("boxes", "labels", "masks")


@dataclasses.dataclass(frozen=True)
class Detection(Task):
  """The task of finding objects: their boxes, classes and masks.

  Images lie on canvases of a few sizes, see `DetectionView`, and batches have those of one canvas.
  What is found is measured at the image's own size. Settings of classification, such as mixing,
  erasing and label smoothing, are not read, nor is the size of images.

  Attributes:
    num_classes: K.
    view: what training and evaluation see.
    mean: mean of each channel, pixels in [0, 1].
    std: standard deviation likewise.
    network: settings of the detector, see `attach_detector`.
    imaging: name of the library that decodes, see `IMAGING`.
    drawn_score: least score of what is drawn, and counts as found in pictures.
  """

  primary: ClassVar[str] = "mask_ap"
  target: ClassVar[str] = OBJECTS
  draws: ClassVar[Sequence[str]] = ("objects",)
  predict_together: ClassVar[int] = 1  # each image has its own canvas
  scores: ClassVar[tuple[Score, ...]] = (
    Score("mask_ap", "mask AP", "mask AP", is_share=True),
    Score("box_ap", "box AP", "box AP", is_share=True),
    Score("mask_ap50", "mask AP50", "mask AP at an IoU of 0.5", is_share=True),
    Score("box_ap50", "box AP50", "box AP at an IoU of 0.5", is_share=True),
  )

  num_classes: int
  view: DetectionView
  mean: Sequence[float] = IMAGENET_MEAN
  std: Sequence[float] = IMAGENET_STD
  network: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  imaging: str = "turbo"
  drawn_score: float = 0.5

  @classmethod
  def from_config(cls, config: Mapping[str, Any], num_classes: int) -> "Detection":
    """Makes the task that a config describes, see `Task.from_config`."""
    data, settings = config["data"], config["detection"]
    if data["channels"] != 3:
      raise InputError(
        f"`data.channels` must be 3 for detection: expected RGB, got {data['channels']}."
      )
    # The largest first: what fits in memory for it fits for the others.
    canvases = sorted(map(_read_canvas, settings["canvases"]), key=lambda size: -size[0] * size[1])
    view = DetectionView(
      canvases,
      flip_rate=data["flip_rate"],
      fill=tuple(round(255 * value) for value in data["mean"]),
      **{name: _tuple(settings[name]) for name in _VIEW},
    )
    network = {name: settings[name] for name in _NETWORK}
    network["train_proposals"] = settings["train_proposals"] or None  # 0 is what is published
    return cls(
      num_classes,
      view,
      mean=data["mean"],
      std=data["std"],
      network=network,
      imaging=data["imaging"],
      drawn_score=settings["drawn_score"],
    )

  @property
  def schemas(self) -> Sequence[Schema]:
    """Fields of an example to train on, for each canvas, see `DetectionView.training`."""
    room, side = self.view.max_objects, self.view.mask_side
    objects = {
      "boxes": Field((room, 4), np.float32),
      "labels": Field((room,), np.int32, pad=-1),
      "masks": Field((room, side, side), np.uint8),
    }
    size = Field((2,), np.int32)
    return [
      {"image": Field((*canvas, 3), np.uint8), "size": size, **objects}
      for canvas in self.view.canvases
    ]

  @property
  def schema(self) -> Schema:
    """Those of the largest canvas."""
    return self.schemas[0]

  @property
  def eval_schemas(self) -> Sequence[Schema]:
    """Fields of an example that is evaluated, for each canvas, see `DetectionView.evaluation`."""
    size = Field((2,), np.int32)
    return [
      {"image": Field((*canvas, 3), np.uint8), "size": size, "own": size}
      for canvas in self.view.canvases
    ]

  @property
  def eval_schema(self) -> Schema:
    """Those of the largest canvas."""
    return self.eval_schemas[0]

  def kinds(self, split: Split) -> np.ndarray | None:
    """Finds the canvas of each image by its own size; None for one canvas."""
    if len(self.view.canvases) == 1:
      return None
    return self.view.canvases_of(image_sizes(split))

  def check_training(self, split: Split) -> None:
    """Looks whether each image has room for what is learned from it, see `check_room`."""
    check_room(split, self.view.max_objects)

  def for_evaluation(self, splits: Sequence[Split]) -> "Detection":
    """Looks for an object in each split, without which there is nothing to compare with.

    Raises:
      InputError: if a split has none, or crowds alone.
    """
    for split in splits:
      examples = (split.source[index] for index in range(len(split.source)))
      check_counts(split.name, map(read_instances, examples))
    return self

  def load(self, example: Mapping[str, Any], rng: np.random.Generator | None) -> dict[str, Any]:
    """Decodes an image and makes a view of it and its objects; see `Task.load`."""
    pixels = self.decode(example["image"])
    if rng is None:
      return self.view.evaluation(pixels)
    return self.view.training(pixels, read_instances(example), rng)

  def decode(self, encoded: bytes) -> np.ndarray:
    """Decodes to RGB, uint8 [H, W, 3]; see `Task.decode`."""
    return np.ascontiguousarray(get_imaging(self.imaging).decode(encoded)[..., :3])

  def eval_arrays(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Lays an image on its canvas."""
    return self.view.evaluation(pixels)

  def build(self, backbone: Architecture) -> Architecture:
    """Puts a detector on a backbone, see `attach_detector`."""
    return attach_detector(backbone, self.num_classes, **self.network)

  def inputs(
    self, batch: Mapping[str, Array], keys: Key[Array, "B"] | None, train: bool
  ) -> dict[str, Array]:
    """Normalises the images; all that is drawn of a view is drawn on the host."""
    del keys, train
    return {**batch, "image": normalize(batch["image"], self.mean, self.std)}

  def context(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Chooses the sizes of the images on their canvas, and the objects to learn from."""
    return {name: inputs[name] for name in ("size", *_LEARNED)}

  def loss(self, outputs: Outputs, inputs: Mapping[str, Array]) -> Float[Array, "B"]:
    """Adds up the losses of the proposals and of each stage, as the detector weighs them."""
    del inputs
    return sum(outputs[0]["losses"].values(), start=jnp.float32(0))

  def predict(self, forward: Forward, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Finds the objects of each image; boxes are in pixels of its own size."""
    found, _ = forward(inputs["image"], {"size": inputs["size"]})
    factors = inputs["own"] / jnp.maximum(inputs["size"], 1)  # a row of padding has no size
    factors = factors[:, None, ::-1].astype(jnp.float32)
    boxes = found["boxes"] * jnp.concatenate([factors, factors], axis=-1)
    return {**found, "boxes": boxes, "own": inputs["own"]}

  def infer(self, forward: Forward, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Finds the objects of each image, likewise."""
    return self.predict(forward, inputs)

  def answer_columns(self, top: int) -> Sequence[str]:
    """Names what is said of an object, of which each has a row of its own."""
    del top  # all are told
    return ["class", "score", "x0", "y0", "x1", "y1", "area"]

  def answer(
    self,
    inferred: Mapping[str, np.ndarray],
    pixels: np.ndarray,
    class_names: Sequence[str],
    top: int,
  ) -> Answer:
    """Says which objects are in the image, and draws them on it; see `Task.answer`."""
    return object_answer(read_found(inferred), pixels, class_names, top, self.drawn_score)

  def documents(
    self, answers: Sequence[tuple[str, Answer]], classes: Sequence[tuple[str, int]]
  ) -> dict[str, str]:
    """Writes what was found in all images in COCO's format, see `coco_results`."""
    return {"annotations.json": coco_results(answers, classes)}

  def captions(self, inputs: Mapping[str, np.ndarray], class_names: Sequence[str]) -> Captions:
    """Names the objects of training views, and draws them."""
    images = inputs["image"] * np.asarray(self.std) + np.asarray(self.mean)
    pixels = np.clip(np.round(255 * images), 0, 255).astype(np.uint8)
    objects = {name: inputs[name] for name in _LEARNED}
    return object_captions(pixels, objects, class_names)

  def headline(self) -> tuple[Score, ...]:
    """Picks the AP of masks and that of boxes."""
    return self.scores[:2]

  def sections(self, metric: Metric, split: Split) -> Sequence[Section]:
    """Makes the table of the classes, and pictures of what was found and missed."""
    assert isinstance(metric, AveragePrecision)

    def picture_of(index: int) -> tuple[np.ndarray, str]:
      example = split.source[index]
      name = file_of(example) or f"image {index}"
      return self.decode(example["image"]), name

    return [
      class_section(metric, split.name, split.class_names),
      picture_section(metric, split.name, split.class_names, picture_of, self.drawn_score),
    ]

  def tables(
    self, metric: Metric, class_names: Sequence[str]
  ) -> dict[str, Sequence[Mapping[str, Any]]]:
    """Makes tables of the classes and of the images."""
    assert isinstance(metric, AveragePrecision)
    return object_tables(metric, class_names, self.drawn_score)

  def metric(self, split: Split) -> AveragePrecision:
    """Makes a metric that has gathered nothing of a split."""
    return AveragePrecision(split)


def _read_canvas(text: str) -> tuple[int, int]:
  """Reads a height and a width, such as 800x1344."""
  found = re.fullmatch(r"(\d+)x(\d+)", text)
  if not found:
    raise InputError(
      f"`detection.canvases` must be heights and widths: expected such as 800x1344, got {text!r}."
    )
  return int(found[1]), int(found[2])


def _tuple(value: Any) -> Any:
  """Makes tuples of lists, which come from JSON: a task is hashed."""
  return tuple(value) if isinstance(value, list) else value
