"""Settings that depend on how many images there are get values that suit them."""

import math
from collections.abc import Mapping
from typing import Any

from hornet_jax.config.flat import flatten, nest
from hornet_jax.config.schema import SCHEMA
from hornet_jax.data.image_info import DEFAULT, ImageInfo
from hornet_jax.data.pixels.pixel_format import RGB
from hornet_jax.wording import counted

# A model of 22 million parameters trains on so many images of 224 pixels in 6 GB (CPU, float32,
# nothing recomputed).
_LARGEST_BATCH = 32
_BATCHES_AN_EPOCH = 4  # at least
_UPDATES = 200
_EPOCHS = 50.0  # at most, where images are few
_GROUP = 4
_LOG_LINES, _EVALUATIONS = 50, 20


def fit(
  config: Mapping[str, Any], num_examples: int, image_info: ImageInfo | None = None
) -> tuple[dict[str, Any], str]:
  """Replaces every `FIT` of a config by a value that suits the dataset.

  The values depend on nothing but the config and the dataset, so that each start of a run, on
  whatever devices, finds the same. RGB images are normalised as ImageNet is, others by their own
  statistics. Learning rates are those of the official recipes,
  scaled by the root of the batch size: 4e-3 at 4,096 images from scratch. From a trained model
  1e-3 at 512 with a layer decay of 0.7, as the official fine-tuning has it for 5e-5 and a trained
  head; a new head wants more.

  Args:
    config: nested, with the keys of `config.schema`.
    num_examples: N, number of images of the training split.
    image_info: what the dataset says of its images; None for nothing.

  Returns:
    The config, and the fitted settings in words; empty where there was nothing to fit.
  """
  values = flatten(config)
  asked = to_fit(config)
  if not asked:
    return dict(config), ""
  starts_trained = bool(values["init.checkpoint"])

  def fitted(name: str, value: int | float) -> None:
    if name in asked:
      values[name] = value

  largest = max(min(num_examples // _BATCHES_AN_EPOCH, _LARGEST_BATCH), 1)
  fitted("data.batch_size", 2 ** int(math.log2(largest)))
  batch_size = values["data.batch_size"]
  steps_per_epoch = max(num_examples // batch_size, 1)
  fewest = 10.0 if starts_trained else 30.0
  fitted("epochs", min(max(math.ceil(_UPDATES / steps_per_epoch), fewest), _EPOCHS))
  epochs = values["epochs"]
  fitted("data.eval_batch_size", batch_size)
  fitted("mix.group_size", math.gcd(_GROUP, batch_size))
  rate, its_batch_size = (1e-3, 512) if starts_trained else (4e-3, 4096)
  fitted("optimizer.learning_rate", float(f"{rate * math.sqrt(batch_size / its_batch_size):.2g}"))
  fitted("optimizer.layer_decay", 0.7 if starts_trained else 1.0)
  fitted("optimizer.warmup_epochs", epochs / 10)
  fitted("log.every_steps", max(round(epochs * steps_per_epoch) // _LOG_LINES, 1))
  fitted("eval.every_epochs", max(epochs / _EVALUATIONS, 1.0))
  _fit_to_pixels(values, asked, image_info or DEFAULT)
  settings = ", ".join(f"{name} {_shown(values[name])}" for name in asked)
  return nest(values), f"fitted to {counted(num_examples, 'image')}: {settings}"


def _fit_to_pixels(values: dict[str, Any], asked: list[str], info: ImageInfo) -> None:
  """Fits what depends on the images themselves."""
  pixels = info.pixel_format
  known = {
    "data.channels": pixels.channels,
    "data.max_value": pixels.max_value,
    "data.max_pixels": pixels.max_pixels,
  }
  values.update({name: known[name] for name in known.keys() & set(asked)})
  channels = values["data.channels"]
  statistics = info if info.pixel_format.channels == channels != RGB.channels else DEFAULT
  for name, of_channels in (("data.mean", statistics.mean), ("data.std", statistics.std)):
    if name in asked:
      rounded = tuple(float(f"{number:.4g}") for number in of_channels)
      values[name] = tuple(rounded[i % len(rounded)] for i in range(channels))
  if "data.rand_augment" in asked:  # it is made for colours
    has_colors = channels == RGB.channels
    values["data.rand_augment"] = SCHEMA["data.rand_augment"].default if has_colors else ""


def _shown(value: Any) -> str:
  if isinstance(value, tuple):
    return f"({', '.join(f'{number:g}' for number in value)})"
  return f"{value:g}" if isinstance(value, float) else repr(value)


def to_fit(config: Mapping[str, Any]) -> list[str]:
  """Lists the keys of a config that have to be fitted."""
  values = flatten(config)
  return [name for name, key in SCHEMA.items() if key.is_to_fit(values[name])]
