"""Semantic segmentation: the class of every pixel, by UperNet on any backbone."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from hornet_jax.data.datasets import MASK, Split
from hornet_jax.data.imaging import Imaging, get_imaging
from hornet_jax.data.masks import IGNORED, check_mask, decode_mask
from hornet_jax.data.normalize import IMAGENET_MEAN, IMAGENET_STD, normalize
from hornet_jax.data.paired_view import PairedAugmentation
from hornet_jax.data.schema import Field, Schema, image_field
from hornet_jax.data.whole_view import WholeView
from hornet_jax.dense import uper_net
from hornet_jax.errors import InputError
from hornet_jax.models import Architecture
from hornet_jax.ops.resample import resize_bilinear
from hornet_jax.tasks.losses import pixel_cross_entropy
from hornet_jax.tasks.mean_iou import MeanIou, count_confusion
from hornet_jax.train.presentation import Answer, Captions, Score, Section
from hornet_jax.train.task import Metric, Outputs, Task

_AUGMENTATION = ("long_side", "short_side", "ratios", "max_class_share", "photometric")
_SHOWN_SHARE = 0.01  # of the pixels, beside a training image


@dataclasses.dataclass(frozen=True)
class Segmentation(Task):
  """The task of telling the class of every pixel.

  Training sees a random square of an image, see `PairedAugmentation`. Evaluation sees the whole
  image, scaled to fit a square of the same size, see `WholeView`. Settings of classification, such
  as mixing, erasing and label smoothing, are not read.

  Attributes:
    num_classes: K.
    image_size: side of the squares, in pixels.
    augmentation: what training sees; None for what evaluation sees.
    mean: mean of each channel, pixels in [0, 1].
    std: standard deviation likewise.
    channels: width of the head.
    fusion: fusion of the head's levels: `"conv"`, or a gnConv with the filter `"7x7"` or `"gf"`.
    auxiliary_channels: width of the auxiliary head; 0 for none.
    auxiliary_weight: weight of its loss.
    dropout_rate: probability that a channel of an example is dropped before the classifiers.
    imaging: name of the library that decodes, see `IMAGING`.
  """

  primary: ClassVar[str] = "miou"
  target: ClassVar[str] = MASK
  scores: ClassVar[tuple[Score, ...]] = (
    Score("miou", "mIoU", "mean IoU", is_share=True),
    Score("pixel_accuracy", "pixels", "accuracy of the pixels", is_share=True),
    Score("mean_class_accuracy", "class mean", "mean accuracy of the classes", is_share=True),
    Score("loss", "loss", "loss"),
  )

  num_classes: int
  image_size: int
  augmentation: PairedAugmentation | None = None
  mean: Sequence[float] = IMAGENET_MEAN
  std: Sequence[float] = IMAGENET_STD
  channels: int = 512
  fusion: str = "conv"
  auxiliary_channels: int = 256
  auxiliary_weight: float = 0.4
  dropout_rate: float = 0.1
  imaging: str = "turbo"

  @classmethod
  def from_config(cls, config: Mapping[str, Any], num_classes: int) -> "Segmentation":
    """Makes the task that a config describes, see `Task.from_config`."""
    data, own = config["data"], config["segmentation"]
    if data["channels"] != 3:
      raise InputError(
        f"`data.channels` must be 3 for segmentation: expected RGB, got {data['channels']}."
      )
    augmentation = PairedAugmentation(
      data["image_size"],
      flip_rate=data["flip_rate"],
      fill=_fill(data["mean"]),
      **{name: own[name] for name in _AUGMENTATION} | {"ratios": tuple(own["ratios"])},
    )
    return cls(
      num_classes,
      data["image_size"],
      augmentation,
      mean=data["mean"],
      std=data["std"],
      imaging=data["imaging"],
      **{name: value for name, value in own.items() if name not in _AUGMENTATION},
    )

  @property
  def schema(self) -> Schema:
    """Fields of a loaded example: the image and the class of each pixel."""
    side = self.image_size
    return {"image": image_field(side), "mask": Field((side, side), np.uint8, pad=IGNORED)}

  @property
  def _library(self) -> Imaging:
    return get_imaging(self.imaging)

  @property
  def _whole(self) -> WholeView:
    return WholeView(self.image_size, _fill(self.mean))

  def load(self, example: Mapping[str, Any], rng: np.random.Generator | None) -> dict[str, Any]:
    """Decodes an image and its mask, and makes a view of both; see `Task.load`."""
    pixels, mask = self.decode(example["image"]), decode_mask(example["mask"])
    check_mask(mask, pixels.shape[:2], self.num_classes)
    if rng is None or self.augmentation is None:
      return {"image": self.eval_image(pixels), "mask": self._whole.mask(mask)}
    image, classes = self.augmentation.view(pixels, mask, rng)
    return {"image": image, "mask": classes}

  def decode(self, encoded: bytes) -> np.ndarray:
    """Decodes to RGB, uint8 [H, W, 3]; see `Task.decode`."""
    return np.ascontiguousarray(self._library.decode(encoded)[..., :3])

  def eval_image(self, pixels: np.ndarray) -> np.ndarray:
    """Scales an image to fit the square, and fills the rest; see `Task.eval_image`."""
    return self._whole.image(pixels)

  def build(self, backbone: Architecture) -> Architecture:
    """Puts norms, UperNet's head and the auxiliary head on a backbone.

    The auxiliary head reads the last level but one.

    Raises:
      InputError: if the backbone has one level alone.
    """
    return uper_net(
      backbone,
      self.num_classes,
      channels=self.channels,
      fusion=self.fusion,
      auxiliary_channels=self.auxiliary_channels,
      dropout_rate=self.dropout_rate,
    )

  def inputs(
    self, batch: Mapping[str, Array], keys: Key[Array, "B"] | None, train: bool
  ) -> dict[str, Array]:
    """Normalises; see `Task.inputs`."""
    del keys, train  # all that is drawn of a view is drawn on the host
    return {**batch, "image": normalize(batch["image"], self.mean, self.std)}

  def loss(self, outputs: Outputs, inputs: Mapping[str, Array]) -> Float[Array, "B"]:
    """Computes the cross-entropy of both heads, of each example the mean over all its pixels.

    Pixels that are ignored have no loss, and count in the mean, as in mmseg.
    """
    logits = outputs[0]
    losses = pixel_cross_entropy(self._at_full_size(logits["logits"]), inputs["mask"])
    if "auxiliary" in logits:
      auxiliary = pixel_cross_entropy(self._at_full_size(logits["auxiliary"]), inputs["mask"])
      losses += self.auxiliary_weight * auxiliary
    return losses

  def _at_full_size(self, logits: Float[Array, "B h w K"]) -> Float[Array, "B H W K"]:
    return resize_bilinear(logits, (self.image_size, self.image_size))

  def predict(self, outputs: Outputs, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Counts for each image how often each class was taken for each other one, and its loss."""
    logits = self._at_full_size(outputs[0]["logits"])
    confusion = count_confusion(jnp.argmax(logits, axis=-1), inputs["mask"], self.num_classes)
    return {"confusion": confusion, "loss": pixel_cross_entropy(logits, inputs["mask"])}

  def infer(self, outputs: Outputs) -> dict[str, Array]:
    """Tells the class of each pixel of the square, uint8 [B, S, S]."""
    logits = self._at_full_size(outputs[0]["logits"])
    return {"classes": jnp.argmax(logits, axis=-1).astype(jnp.uint8)}

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
    """Says which classes fill most of the image; see `Task.answer`."""
    height, width = self._whole.scaled(pixels.shape[:2])
    counts = np.bincount(inferred["classes"][:height, :width].ravel(), minlength=self.num_classes)
    shares = counts / counts.sum()
    found = [
      (class_names[k], float(shares[k]))
      for k in np.argsort(-shares, kind="stable")[:top].tolist()
      if shares[k] > 0
    ]
    missing = min(top, self.num_classes) - len(found)
    return Answer(
      "  ".join(f"{name} {100 * share:.1f} %" for name, share in found),
      {"top": [{"class": name, "share": share} for name, share in found]},
      [[value for pair in found for value in pair] + [""] * (2 * missing)],
    )

  def captions(self, inputs: Mapping[str, np.ndarray], class_names: Sequence[str]) -> Captions:
    """Writes the share of each class among the pixels."""
    return Captions(
      "after scaling, cropping, flipping and changing colours, as the model sees them. Beside each "
      "class its share of the pixels.",
      "",
      [
        [
          (class_names[k], f"{share:.2f}")
          for k, share in enumerate(
            np.bincount(mask.ravel(), minlength=IGNORED)[: self.num_classes] / mask.size
          )
          if share > _SHOWN_SHARE
        ]
        for mask in inputs["mask"]
      ],
    )

  def headline(self) -> tuple[Score, ...]:
    """Picks mean IoU and the accuracy of the pixels."""
    return self.scores[:2]

  def sections(self, metric: Metric, split: Split) -> Sequence[Section]:
    """Makes the table of the classes."""
    assert isinstance(metric, MeanIou)
    rows = metric.per_class(split.class_names)
    values = {
      "name": "classes",
      "title": "Classes",
      "text": f"Of {split.name}: classes that occur or were predicted.",
      "headings": ["class", "IoU", "accuracy", "pixels"],
      "rows": [
        [row["class"], f"{row['iou']:.1%}", f"{row['accuracy']:.1%}", f"{row['pixels']:,}"]
        for row in rows
      ],
    }
    return [Section("table.html.j2", values)]

  def tables(
    self, metric: Metric, class_names: Sequence[str]
  ) -> dict[str, Sequence[Mapping[str, Any]]]:
    """Makes a table of the classes, and the confusion matrix in pixels."""
    assert isinstance(metric, MeanIou)
    confusion = [
      {"true": name, **dict(zip(class_names, row.tolist(), strict=True))}
      for name, row in zip(class_names, metric.confusion, strict=True)
    ]
    return {"classes": metric.per_class(class_names), "confusion": confusion}

  def metric(self) -> MeanIou:
    """Makes a metric that has gathered nothing."""
    return MeanIou(self.num_classes)


def _fill(mean: Sequence[float]) -> tuple[int, ...]:
  """Rounds the mean to pixels: normalised, they are nearly 0."""
  return tuple(round(255 * value) for value in mean)
