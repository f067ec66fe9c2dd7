"""A made-up task: how bright every patch of an image would be, were it turned to its negative."""

import dataclasses
import io
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from PIL import Image

from hornet_jax.data.datasets import Split
from hornet_jax.data.pixels.normalize import normalize
from hornet_jax.data.schema import Field, image_field
from hornet_jax.data.views.eval_view import EvalView
from hornet_jax.models import attach_head
from hornet_jax.train.presentation import Answer, Score, Section
from hornet_jax.train.task import Task

GRID = 8  # patches a side


def generated(name, count, seed):
  """A split of discs on dark ground."""
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[:16, :16]
  source = []
  for _ in range(count):
    (cy, cx), radius = rng.uniform(4, 12, 2), rng.uniform(2, 6)
    disc = np.where((y - cy) ** 2 + (x - cx) ** 2 < radius**2, rng.integers(100, 256), 30)
    encoded = io.BytesIO()
    Image.fromarray(disc.astype(np.uint8)).convert("RGB").save(encoded, "PNG")
    patches = disc.reshape(GRID, 2, GRID, 2).mean((1, 3))
    negative = (1 - patches / 255).astype(np.float32)
    source.append({"image": encoded.getvalue(), "negative": negative})
  return Split(name, source, [])


class PatchHead(nn.Module):
  """A norm with statistics of the batch and one value a patch."""

  feature: str

  @nn.compact
  def __call__(self, out, train, keys):
    """Gives [B, h, w]."""
    x = nn.BatchNorm(use_running_average=not train, momentum=0.5, name="norm")(out[self.feature])
    return nn.Conv(1, (1, 1), name="value")(x)[..., 0]


class PixelFit:
  """The maps of all examples."""

  def __init__(self, values=(), targets=()):
    self.values, self.targets = list(values), list(targets)

  @property
  def count(self):
    """Number of maps."""
    return sum(map(len, self.values))

  def update(self, results):
    """Keeps some maps."""
    self.values.append(results["value"])
    self.targets.append(results["target"])

  def merge(self, other):
    """Joins two."""
    return PixelFit([*self.values, *other.values], [*self.targets, *other.targets])

  def compute(self):
    """Gives the mean squared error, and the share of the variance that is explained."""
    values, targets = (np.concatenate(maps).astype(float) for maps in (self.values, self.targets))
    error = np.mean((values - targets) ** 2)
    return {"loss": float(error), "r2": float(1 - error / np.var(targets))}


@dataclasses.dataclass(frozen=True)
class Negative(Task):
  """Per-pixel regression on discs."""

  primary: ClassVar[str] = "r2"
  scores: ClassVar[tuple[Score, ...]] = (
    Score("r2", "R2", "explained variance"),
    Score("loss", "loss", "loss"),
  )

  image_size: int
  mean: tuple[float, ...]
  std: tuple[float, ...]

  @classmethod
  def from_config(cls, config, num_classes):
    """Reads the sizes."""
    del num_classes  # it has no classes
    data = config["data"]
    return cls(data["image_size"], data["mean"], data["std"])

  @property
  def schema(self):
    """An image and a value for every patch."""
    return {
      "image": image_field(self.image_size),
      "negative": Field((GRID, GRID), np.float32, pad=-1),
    }

  def load(self, example, rng):
    """Decodes; image and target are flipped together."""
    image = self.view(self.decode(example["image"]))
    loaded = {"image": image, "negative": example["negative"]}
    if rng is not None and rng.random() < 0.5:
      loaded = {name: np.ascontiguousarray(value[:, ::-1]) for name, value in loaded.items()}
    return loaded

  @property
  def view(self):
    """The whole image."""
    return EvalView(self.image_size, 1.0, imaging="pillow")

  def decode(self, encoded):
    """By Pillow."""
    return self.view.library.decode(encoded)

  def eval_arrays(self, pixels):
    """The whole image."""
    return {"image": self.view(pixels)}

  def build(self, backbone):
    """Uses the finest feature map."""
    return attach_head(backbone, PatchHead(backbone.features()[0].name))

  def inputs(self, batch, keys, train):
    """Normalises."""
    return {**batch, "image": normalize(batch["image"], self.mean, self.std)}

  def loss(self, outputs, inputs):
    """Squared error."""
    return jnp.mean((outputs[0] - inputs["negative"]) ** 2, axis=(1, 2))

  def predict(self, forward, inputs):
    """The map, and what it should be."""
    return {"value": forward(inputs["image"])[0], "target": inputs["negative"]}

  def infer(self, forward, inputs):
    """The map."""
    return {"value": forward(inputs["image"])[0]}

  def answer_columns(self, top):
    """One number."""
    return ["mean"]

  def answer(self, inferred, pixels, class_names, top):
    """The mean of the map."""
    mean = float(inferred["value"].mean())
    return Answer(f"{mean:.4f}", {"mean": mean, "height": pixels.shape[0]}, [[mean]])

  def metric(self, split):
    """Starts with nothing."""
    return PixelFit()

  def sections(self, metric: Any, split):
    """One table."""
    values = {
      "name": "negative",
      "title": "Negatives",
      "text": f"How well the patches of {split.name} were told.",
      "headings": ["images", "explained variance"],
      "rows": [[metric.count, f"{metric.compute()['r2']:.3f}"]],
    }
    return [Section("table.html.j2", values)]
