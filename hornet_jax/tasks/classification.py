"""Classification: one label an image; mixup, cutmix, erasing and smoothing in training."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from hornet_jax.config.build import build_eval_view
from hornet_jax.data.datasets import Split
from hornet_jax.data.pixels.normalize import IMAGENET_MEAN, IMAGENET_STD, normalize
from hornet_jax.data.schema import Field, Schema, image_field
from hornet_jax.data.views.augment import Augmentation
from hornet_jax.data.views.erase import random_erase
from hornet_jax.data.views.eval_view import EvalView
from hornet_jax.data.views.mix import MixSettings, check_mixing, draw_mix, mix_batch
from hornet_jax.errors import InputError
from hornet_jax.models import Architecture
from hornet_jax.tasks.losses import cross_entropy, smoothed_targets, soft_cross_entropy
from hornet_jax.tasks.predictions import Accuracy, confusion, per_class
from hornet_jax.train.metric import Metric
from hornet_jax.train.presentation import Answer, Captions, Score, Section
from hornet_jax.train.task import Forward, Outputs, Task

_AUGMENTATION = [
  field.name for field in dataclasses.fields(Augmentation) if field.name != "pixel_format"
]
_SHOWN_SHARE = 0.005  # of a target, beside a training image
_UNMIXED = MixSettings(0.0, 0.0, 0.0, 0.0, 2)


@dataclasses.dataclass(frozen=True)
class Classification(Task):
  """The task of telling the class of an image.

  Attributes:
    num_classes: K.
    view: what evaluation sees of an image; its size is that of training, too.
    augmentation: what training sees; None for what evaluation sees.
    mean: mean of each channel, pixels in [0, 1].
    std: standard deviation likewise.
    label_smoothing: share of the target spread over all classes.
    class_weights: weight of each class in the loss of training; empty for 1.
    mixing: settings of mixup and cutmix, which come after the erasing, as in timm.
    erasing_rate: rate of `random_erase`.
  """

  primary: ClassVar[str] = "top1"
  scores: ClassVar[tuple[Score, ...]] = (
    Score("top1", "top-1", "accuracy", is_share=True),
    Score("top5", "top-5", "top-5 accuracy", is_share=True),
    Score("mean_class_accuracy", "class mean", "mean accuracy of the classes", is_share=True),
    Score("loss", "loss", "loss"),
  )

  num_classes: int
  view: EvalView
  augmentation: Augmentation | None = None
  mean: Sequence[float] = IMAGENET_MEAN
  std: Sequence[float] = IMAGENET_STD
  label_smoothing: float = 0.0
  class_weights: Sequence[float] = ()
  mixing: MixSettings = _UNMIXED
  erasing_rate: float = 0.0

  @classmethod
  def from_config(cls, config: Mapping[str, Any], num_classes: int) -> "Classification":
    """Makes the task that a config describes, see `Task.from_config`."""
    data, view = config["data"], build_eval_view(config["data"])
    weights = tuple(config["loss"]["class_weights"])
    if weights and (len(weights) != num_classes or not all(weight >= 0 for weight in weights)):
      raise InputError(
        f"`loss.class_weights` must be a weight for each class: expected {num_classes} numbers >= "
        f"0, got {len(weights)}, of which the smallest is {min(weights)}."
      )
    settings = {name: data[name] for name in _AUGMENTATION}
    return cls(
      num_classes,
      view,
      Augmentation(**settings, pixel_format=view.pixel_format),
      mean=data["mean"],
      std=data["std"],
      label_smoothing=config["loss"]["label_smoothing"],
      class_weights=weights,
      mixing=MixSettings(**config["mix"]),
      erasing_rate=data["erasing_rate"],
    )

  @property
  def schema(self) -> Schema:
    """Fields of a loaded example: the image and its class."""
    image = image_field(self.view.image_size, self.view.pixel_format.channels)
    return {"image": image, "label": Field((), np.int32)}

  def check_batch(self, batch_size: int, num_devices: int) -> None:
    """Raises `InputError` where groups of mixed rows would not lie within one device's rows."""
    check_mixing(self.mixing, batch_size, num_devices)

  @classmethod
  def fitted_to_rows(
    cls, config: Mapping[str, Any], rows: int
  ) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Makes the groups that are mixed smaller where they do not lie within so many rows."""
    settings = MixSettings(**config["mix"])
    if not settings.active or rows % settings.group_size == 0:
      return config, ()
    size = max((n for n in range(2, settings.group_size + 1, 2) if rows % n == 0), default=0)
    if not size:
      raise InputError(
        f"`batch` must be even where images are mixed: expected whole groups, got {rows} a device."
      )
    note = (
      f"mix.group_size {settings.group_size} does not divide {rows} images: planned with {size}, "
      "another augmentation"
    )
    return {**config, "mix": {**config["mix"], "group_size": size}}, (note,)

  def load(self, example: Mapping[str, Any], rng: np.random.Generator | None) -> dict[str, Any]:
    """Decodes an image and makes a view of it; see `Task.load`."""
    if rng is None or self.augmentation is None:
      image = self.view(self.decode(example["image"]))
    else:
      pixels = self.augmentation.library.decode(example["image"])
      image = self.augmentation.view(pixels, self.view.image_size, rng)
    return {"image": image, "label": np.int32(example["label"])}

  def decode(self, encoded: bytes) -> np.ndarray:
    """Decodes by the library of the view; see `Task.decode`."""
    return self.view.library.decode(encoded)

  def eval_arrays(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Resizes and crops; see `Task.eval_arrays`."""
    return {"image": self.view(pixels)}

  def build(self, backbone: Architecture) -> Architecture:
    """Gives a backbone its own linear head."""
    return backbone.clone(num_classes=self.num_classes)

  def inputs(
    self, batch: Mapping[str, Array], keys: Key[Array, "B"] | None, train: bool
  ) -> dict[str, Array]:
    """Normalises, and in training erases and mixes; see `Task.inputs`.

    Returns:
      The batch; in training with `target`, probabilities of the classes [B, K], and `ratio`,
      the share of each row's own image; 1 where it is not mixed.
    """
    images = normalize(batch["image"], self.mean, self.std)
    if not train:
      return {**batch, "image": images}
    assert keys is not None, "training draws"
    images = random_erase(keys, images, self.erasing_rate)
    targets = smoothed_targets(batch["label"], self.num_classes, self.label_smoothing)
    ratio = jnp.ones_like(batch["weight"])
    if self.mixing.active:
      mix = draw_mix(keys, images.shape[1:3], self.mixing)
      images, targets, ratio = mix_batch(images, targets, batch["weight"], mix)
    return {**batch, "image": images, "target": targets, "ratio": ratio}

  def loss(self, outputs: Outputs, inputs: Mapping[str, Array]) -> Float[Array, "B"]:
    """Computes the cross-entropy with the mixed and smoothed targets, weighed by the classes.

    The weight of an image is that of its own class, or of those that are mixed in it. Label
    smoothing is not weighed: what it gives to a rare class would outweigh a frequent one.
    """
    losses = soft_cross_entropy(outputs[0], inputs["target"])
    if not self.class_weights:
      return losses
    shares = self._shares(inputs["target"])
    return losses * jnp.sum(shares * jnp.asarray(self.class_weights, shares.dtype)[None], axis=1)

  def _shares(self, targets: Any) -> Any:
    """Gives the share of each class in targets before label smoothing, [B, K]."""
    smoothing = self.label_smoothing
    return (targets - smoothing / self.num_classes) / (1 - smoothing)

  def predict(self, forward: Forward, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Gives the label and `example_results`."""
    logits, _ = forward(inputs["image"])
    labels = inputs["label"]
    return {"label": labels, **example_results(logits, labels)}

  def infer(self, forward: Forward, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Gives the probabilities of the classes, [B, K]."""
    return {"probability": jax.nn.softmax(forward(inputs["image"])[0])}

  def answer_columns(self, top: int) -> Sequence[str]:
    """Names a column for each of the likeliest classes and its probability."""
    count = min(top, self.num_classes)
    return [f"{name}_{k}" for k in range(1, count + 1) for name in ("class", "probability")]

  def answer(
    self,
    inferred: Mapping[str, np.ndarray],
    pixels: np.ndarray,
    class_names: Sequence[str],
    top: int,
  ) -> Answer:
    """Says the likeliest classes; see `Task.answer`."""
    del pixels
    probabilities = inferred["probability"].tolist()
    best = sorted(range(len(probabilities)), key=lambda k: -probabilities[k])[:top]
    found = [(class_names[k], probabilities[k]) for k in best]
    return Answer(
      "  ".join(f"{name} {100 * share:.1f} %" for name, share in found),
      {"top": [{"class": name, "probability": share} for name, share in found]},
      [[value for pair in found for value in pair]],
    )

  def captions(self, inputs: Mapping[str, np.ndarray], class_names: Sequence[str]) -> Captions:
    """Writes the share of each class in the target, before label smoothing."""
    shares, smoothing = self._shares(inputs["target"]), self.label_smoothing
    mixed = np.sum(inputs["ratio"] < 1)
    return Captions(
      "after cropping, flipping, erasing and mixing, as the model sees them. Beside each class its "
      f"share of the target; label smoothing then spreads {smoothing:g} of it over all classes.",
      f"{mixed} of these {len(shares)} rows are mixed.",
      [
        [
          (class_names[k], f"{row[k]:.2f}")
          for k in np.argsort(-row, kind="stable").tolist()
          if row[k] > _SHOWN_SHARE
        ]
        for row in shares
      ],
    )

  def headline(self) -> tuple[Score, ...]:
    """Picks the accuracies; among five classes or fewer top-5 says nothing."""
    return self.scores[:2] if self.num_classes > 5 else self.scores[:1]

  def sections(self, metric: Metric, split: Split) -> Sequence[Section]:
    """Makes the confusions and the most confident mistakes."""
    from hornet_jax.report.classification import ClassifiedExamples, classification_section

    assert isinstance(metric, Accuracy)
    predictions = metric.predictions()

    def image_of(example: int) -> np.ndarray:
      encoded = split.source[int(predictions.index[example])]["image"]
      return self.view(self.decode(encoded))

    examples = ClassifiedExamples(
      split.class_names,
      predictions.label,
      predictions.prediction,
      predictions.confidence,
      predictions.mean_class_accuracy(),
      image_of,
    )
    return [classification_section(examples)]

  def tables(
    self, metric: Metric, class_names: Sequence[str]
  ) -> dict[str, Sequence[Mapping[str, Any]]]:
    """Makes the confusion matrix, or its entries where it is large, and a table of the classes."""
    assert isinstance(metric, Accuracy)
    predictions = metric.predictions()
    return {
      "classes": per_class(predictions, class_names),
      "confusion": confusion(predictions, class_names),
    }

  def metric(self, split: Split) -> Accuracy:
    """Makes a metric that has gathered nothing of a split."""
    del split  # labels come with the images
    return Accuracy(has_top5=self.num_classes > 5)


def example_results(logits: Float[Array, "B K"], labels: Int[Array, "B"]) -> dict[str, Array]:
  """Computes loss, prediction, its probability and the rank of the true class of each example.

  The rank is the number of classes ahead of the true one: 0 is right, below 5 is right
  among the top five. Of equal logits the lower class is ahead, as in argmax; a NaN is
  ahead of everything, so that a broken model is never right.
  """
  true_logit = jnp.take_along_axis(logits, labels[:, None], axis=-1)
  lower_class = jnp.arange(logits.shape[-1])[None] < labels[:, None]
  ahead = (logits > true_logit) | ((logits == true_logit) & lower_class)
  ahead |= jnp.isnan(logits) | jnp.isnan(true_logit)
  return {
    "loss": cross_entropy(logits, labels),
    "prediction": jnp.argmax(logits, axis=-1),
    "confidence": jnp.max(jax.nn.softmax(logits), axis=-1),
    "rank": jnp.sum(ahead, axis=-1),
  }
