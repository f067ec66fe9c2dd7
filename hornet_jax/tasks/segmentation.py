"""Semantic segmentation: the class of every pixel, by UperNet on any backbone."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key

from hornet_jax.data.datasets import MASK, Split, file_of
from hornet_jax.data.pixels.imaging import get_imaging
from hornet_jax.data.pixels.normalize import IMAGENET_MEAN, IMAGENET_STD, normalize
from hornet_jax.data.schema import Field, Schema, image_field
from hornet_jax.data.views.masks import IGNORED, check_mask, decode_mask
from hornet_jax.data.views.paired_view import PairedAugmentation
from hornet_jax.data.views.windows import Windows, scalings
from hornet_jax.dense import attach_uper_net
from hornet_jax.errors import InputError
from hornet_jax.models import Architecture
from hornet_jax.ops.resample import resize_bilinear
from hornet_jax.tasks.losses import pixel_losses
from hornet_jax.tasks.mean_iou import MeanIou, count_confusion
from hornet_jax.tasks.preview import take_preview
from hornet_jax.tasks.shown_masks import (
  class_section,
  mask_answer,
  mask_captions,
  mask_tables,
  overlay_section,
)
from hornet_jax.tasks.window_scores import Corner, classify_pixels, room, score_windows
from hornet_jax.train.metric import Metric
from hornet_jax.train.presentation import Answer, Captions, Score, Section
from hornet_jax.train.task import Forward, Outputs, Task

_AUGMENTATION = ("long_side", "short_side", "ratios", "max_class_share", "photometric")
_NETWORK = ("channels", "fusion", "auxiliary_channels", "dropout_rate")
_STRIDE = 2 / 3  # of a window
_PREDICTED = 1024  # least side that predicted images are filled up to; then twice that, ...


@dataclasses.dataclass(frozen=True)
class Segmentation(Task):
  """The task of telling the class of every pixel.

  Training sees a random square of an image, see `PairedAugmentation`. Evaluation sees all of it,
  by windows of the same size, see `Windows`, and is measured at the image's own size. Settings of
  classification, such as mixing, erasing and label smoothing, are not read.

  Attributes:
    num_classes: K.
    augmentation: what training sees.
    windows: what evaluation sees.
    mean: mean of each channel, pixels in [0, 1].
    std: standard deviation likewise.
    network: settings of the head, see `attach_uper_net`.
    auxiliary_weight: weight of the auxiliary head's loss.
    imaging: name of the library that decodes, see `IMAGING`.
    largest_size: largest height and width of what is evaluated, in pixels.
  """

  primary: ClassVar[str] = "miou"
  target: ClassVar[str] = MASK
  draws: ClassVar[Sequence[str]] = ("classes", "mask", "overlay")
  predict_together: ClassVar[int] = 1  # each image has its own size
  scores: ClassVar[tuple[Score, ...]] = (
    Score("miou", "mIoU", "mean IoU", is_share=True),
    Score("pixel_accuracy", "pixels", "accuracy of the pixels", is_share=True),
    Score("mean_class_accuracy", "class mean", "mean accuracy of the classes", is_share=True),
    Score("loss", "loss", "loss"),
  )

  num_classes: int
  augmentation: PairedAugmentation
  windows: Windows
  mean: Sequence[float] = IMAGENET_MEAN
  std: Sequence[float] = IMAGENET_STD
  network: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  auxiliary_weight: float = 0.4
  imaging: str = "turbo"
  largest_size: tuple[int, int] = (512, 512)

  @classmethod
  def from_config(cls, config: Mapping[str, Any], num_classes: int) -> "Segmentation":
    """Makes the task that a config describes, see `Task.from_config`."""
    data, own = config["data"], config["segmentation"]
    if data["channels"] != 3:
      raise InputError(
        f"`data.channels` must be 3 for segmentation: expected RGB, got {data['channels']}."
      )
    side, fill = data["image_size"], tuple(round(255 * value) for value in data["mean"])
    augmentation = PairedAugmentation(
      side,
      flip_rate=data["flip_rate"],
      fill=fill,
      **{name: own[name] for name in _AUGMENTATION} | {"ratios": tuple(own["ratios"])},
    )
    limits, stride = (side, side), side
    if own["eval_by"] == "slide":
      limits = own["long_side"], own["short_side"]
      stride = own["eval_stride"] or max(int(_STRIDE * side), 1)
    windows = Windows(
      side,
      stride,
      scalings(limits, own["eval_ratios"] or (1.0,), own["eval_flip"]),
      fill,
    )
    return cls(
      num_classes,
      augmentation,
      windows,
      mean=data["mean"],
      std=data["std"],
      network={name: own[name] for name in _NETWORK},
      auxiliary_weight=own["auxiliary_weight"],
      imaging=data["imaging"],
    )

  @property
  def schema(self) -> Schema:
    """Fields of an example to train on: the image and the class of each pixel."""
    side = self.augmentation.crop_size
    return {"image": image_field(side), "mask": Field((side, side), np.uint8, pad=IGNORED)}

  @property
  def eval_schema(self) -> Schema:
    """Fields of an example that is evaluated: windows of the image, and its mask as it is."""
    mask = Field(room(self.largest_size), np.uint8, pad=IGNORED)
    return {**self.windows.fields, "mask": mask}

  def for_evaluation(self, splits: Sequence[Split]) -> "Segmentation":
    """Makes room for the largest image of all splits.

    Raises:
      InputError: if a split does not say how large its images are.
    """
    height, width = 0, 0
    for split in splits:
      if split.largest_size is None:
        raise InputError(
          f"{split.name} must say how large its images are at most, as datasets do that this "
          "version prepares: it does not. Hint: prepare it anew."
        )
      height, width = max(height, split.largest_size[0]), max(width, split.largest_size[1])
    return dataclasses.replace(self, largest_size=(height, width))

  def load(self, example: Mapping[str, Any], rng: np.random.Generator | None) -> dict[str, Any]:
    """Decodes an image and its mask, and makes a view of both; see `Task.load`."""
    pixels, mask = self.decode(example["image"]), decode_mask(example["mask"])
    check_mask(mask, pixels.shape[:2], self.num_classes)
    if rng is None:
      if mask.shape[0] > self.largest_size[0] or mask.shape[1] > self.largest_size[1]:
        raise InputError(
          f"images must be as large as their dataset says, at most {list(self.largest_size)}: got "
          f"one of {list(mask.shape)}. Hint: prepare the dataset anew."
        )
      return self._eval_arrays(pixels, mask, room(self.largest_size))
    image, classes = self.augmentation.view(pixels, mask, rng)
    return {"image": image, "mask": classes}

  def decode(self, encoded: bytes) -> np.ndarray:
    """Decodes to RGB, uint8 [H, W, 3]; see `Task.decode`."""
    return np.ascontiguousarray(get_imaging(self.imaging).decode(encoded)[..., :3])

  def eval_arrays(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Cuts an image to windows, with a mask of its size in which nothing counts."""
    longest = max(pixels.shape[:2])
    side = max(_PREDICTED, 1 << (longest - 1).bit_length())  # few sizes: each is compiled for
    nothing = np.full(pixels.shape[:2], IGNORED, np.uint8)
    return self._eval_arrays(pixels, nothing, (side, side))

  def _eval_arrays(
    self, pixels: np.ndarray, mask: np.ndarray, size: tuple[int, int]
  ) -> dict[str, np.ndarray]:
    whole = np.full(size, IGNORED, np.uint8)
    whole[: mask.shape[0], : mask.shape[1]] = mask
    return {**self.windows.cut(pixels), "mask": whole}

  def build(self, backbone: Architecture) -> Architecture:
    """Puts UperNet's heads on a backbone, see `attach_uper_net`."""
    return attach_uper_net(backbone, self.num_classes, **self.network)

  def inputs(
    self, batch: Mapping[str, Array], keys: Key[Array, "B"] | None, train: bool
  ) -> dict[str, Array]:
    """Normalises what is trained on; windows are normalised when it is their turn."""
    del keys  # all that is drawn of a view is drawn on the host
    if not train:
      return dict(batch)
    return {**batch, "image": normalize(batch["image"], self.mean, self.std)}

  def loss(self, outputs: Outputs, inputs: Mapping[str, Array]) -> Float[Array, "B"]:
    """Computes the cross-entropy of both heads, of each example the mean over all its pixels.

    Pixels that are ignored have no loss, and count in the mean, as in mmseg.
    """
    mask = inputs["mask"]
    height, width = mask.shape[1:]
    weights = {"logits": 1.0, "auxiliary": self.auxiliary_weight}
    of_heads = [
      weights[name] * pixel_losses(resize_bilinear(logits, (height, width)), mask)
      for name, logits in outputs[0].items()
    ]
    return jnp.mean(sum(of_heads), axis=(1, 2))

  def predict(self, forward: Forward, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Counts for each image how often each class was taken for each other one, and its loss.

    Pixels are those of the image's own size. The loss is the mean over all of them, of which those
    that are ignored have none.
    """
    mask = inputs["mask"]

    def judge(
      found: tuple[Array, Array], corner: Corner, classes: Array, log_p: Array
    ) -> tuple[Array, Array]:
      confusion, losses = found
      true = lax.dynamic_slice(mask, (0, *corner), classes.shape)
      confusion += count_confusion(classes, true, self.num_classes)
      return confusion, losses + jnp.sum(pixel_losses(log_p, true), axis=(1, 2))

    count = len(mask)
    start = (
      jnp.zeros((count, self.num_classes, self.num_classes), jnp.int32),
      jnp.zeros(count, jnp.float32),
    )
    scores = self._score(forward, inputs)
    shape = mask.shape[1:]
    classes, (confusion, losses) = classify_pixels(
      scores, inputs, self.windows, (shape[0], shape[1]), judge, start
    )
    pixels = jnp.prod(inputs["size"], axis=1)
    preview = take_preview(classes, inputs["size"])
    return {"confusion": confusion, "loss": losses / pixels, "preview": preview}

  def infer(self, forward: Forward, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Tells the class of each pixel, uint8 [B, H, W], of the image's own size and beyond."""
    scores = self._score(forward, inputs)
    _, height, width = inputs["mask"].shape
    classes, _ = classify_pixels(scores, inputs, self.windows, (height, width))
    return {"classes": classes}

  def _score(self, forward: Forward, inputs: Mapping[str, Array]) -> Float[Array, "B N s s K"]:
    def score(windows: Array) -> Array:
      outputs, _ = forward(normalize(windows, self.mean, self.std))
      return outputs["logits"]

    return score_windows(score, inputs, self.windows)

  def answer_columns(self, top: int) -> Sequence[str]:
    """Names a column for each of the largest classes and its share of the pixels."""
    count = min(top, self.num_classes)
    return [f"{name}_{k}" for k in range(1, count + 1) for name in ("class", "share")]

  def answer(
    self,
    inferred: Mapping[str, np.ndarray],
    pixels: np.ndarray,
    class_names: Sequence[str],
    top: int,
  ) -> Answer:
    """Says which classes fill most of the image, and draws its mask; see `Task.answer`."""
    height, width = pixels.shape[:2]
    return mask_answer(inferred["classes"][:height, :width], pixels, class_names, top)

  def captions(self, inputs: Mapping[str, np.ndarray], class_names: Sequence[str]) -> Captions:
    """Writes the share of each class among the pixels."""
    return mask_captions(inputs["mask"], class_names, self.num_classes)

  def headline(self) -> tuple[Score, ...]:
    """Picks mean IoU and the accuracy of the pixels."""
    return self.scores[:2]

  def sections(self, metric: Metric, split: Split) -> Sequence[Section]:
    """Makes the table of the classes, and pictures of the best and the worst images."""
    assert isinstance(metric, MeanIou)

    def example_of(index: int) -> tuple[np.ndarray, np.ndarray, str]:
      example = split.source[index]
      name = file_of(example) or f"image {index}"
      return self.decode(example["image"]), decode_mask(example["mask"]), name

    return [
      class_section(metric, split.name, split.class_names),
      overlay_section(metric, split.name, split.class_names, example_of),
    ]

  def tables(
    self, metric: Metric, class_names: Sequence[str]
  ) -> dict[str, Sequence[Mapping[str, Any]]]:
    """Makes tables of the classes and of the images, and the confusion matrix in pixels."""
    assert isinstance(metric, MeanIou)
    return mask_tables(metric, class_names)

  def metric(self, split: Split) -> MeanIou:
    """Makes a metric that has gathered nothing of a split."""
    del split  # masks come with the images
    return MeanIou(self.num_classes)
