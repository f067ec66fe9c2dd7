"""This module times training views of encoded images by library, in images/s of one core."""

import dataclasses
import functools
import io
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from hornet_jax.bench.result import Result
from hornet_jax.bench.rounds import ratio, time_interleaved
from hornet_jax.cost.hardware import PEAK_FLOPS, peak_training_rate
from hornet_jax.cost.model_work import forward_work
from hornet_jax.data.pixels.smaller import shrink
from hornet_jax.data.views.augment import Augmentation, random_box
from hornet_jax.data.views.rand_augment import RandAugment
from hornet_jax.errors import InputError
from hornet_jax.models import create_model

SIZE = 224
RAND_AUGMENT = "rand-m9-mstd0.5-inc1"
REFERENCE = "Pillow"
REFERENCE_RAND_AUGMENT = "Pillow, RandAugment"
_V5E = "TPU v5 lite"
_SHAPE = (375, 500)
_STORED, _QUALITY = 256, 90
_SCALE, _ASPECT, _FLIP_RATE = (0.08, 1.0), (3 / 4, 4 / 3), 0.5
View = Callable[[bytes, np.random.Generator], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Timed:
  """A `Timed` holds what was measured of one way to make views.

  Attributes:
    rates: images per CPU-second of the process, one a round.
    difference: mean absolute difference to Pillow's views of the same boxes, in pixel
      values of 0 to 255; None where it draws other boxes.
  """

  rates: list[float]
  difference: float | None


def compare_input(num_images: int, rounds: int, chips: int, utilisation: float) -> Result:
  """Makes a table of `time_input`, with the number of host cores that chips need.

  Args:
    num_images: number of images in each round.
    rounds: number of interleaved rounds.
    chips: number of v5e chips to feed.
    utilisation: assumed share of their peak.
  """
  found = time_input(num_images, rounds)
  rows = []
  for name, one in found.items():
    reference = REFERENCE_RAND_AUGMENT if "RandAugment" in name else REFERENCE
    rows.append(
      {
        "views": name,
        "median": statistics.median(one.rates),
        "min": min(one.rates),
        "max": max(one.rates),
        "to Pillow": ratio(one.rates, found[reference].rates),
        "mean pixel difference": one.difference,
      }
    )
  rate = statistics.median(found["ours, RandAugment"].rates)
  title = f"JPEGs of 500x375 to training views of {SIZE}, images per CPU-second of one core"
  return Result(title, rows, [_cores(chips, utilisation, rate)])


def _cores(chips: int, utilisation: float, rate: float) -> str:
  """Returns how many cores keep the chips busy."""
  macs = forward_work(create_model("hornet_tiny_7x7"), SIZE).macs
  wanted = utilisation * peak_training_rate(macs, _V5E, chips)
  return (
    f"hornet_tiny_7x7 on {chips} v5e chips of {PEAK_FLOPS[_V5E] / 1e12:.0f} bf16 TFLOP/s at an "
    f"assumed MFU of {utilisation:g} takes {wanted:,.0f} images/s: {wanted / rate:,.0f} cores like "
    f"this one, {wanted / rate / chips:.1f} a chip"
  )


def time_input(num_images: int, rounds: int) -> dict[str, Timed]:
  """Times ours, Pillow, tf.data and, where it is installed, timm, all in turn.

  The images are parts of scikit-learn's two photographs, 500x375 JPEGs; boxes and flips are
  the same for all but timm, which draws its own.

  Args:
    num_images: number of images in each round.
    rounds: number of interleaved rounds.
  """
  encoded = photographs(num_images)
  views: dict[str, View] = {
    REFERENCE: functools.partial(_pillow_view, rand_augment=None),
    REFERENCE_RAND_AUGMENT: functools.partial(
      _pillow_view, rand_augment=RandAugment.from_spec(RAND_AUGMENT)
    ),
    "ours": _our_view(""),
    "ours, RandAugment": _our_view(RAND_AUGMENT),
    **_timm_views(),
    **_kornia_views(),
  }
  candidates: dict[str, Callable[[], Sequence[np.ndarray]]] = {
    name: functools.partial(_all, view, encoded) for name, view in views.items()
  }
  stored = [shrink(content, _STORED, _QUALITY) for content in encoded]
  for name in ("ours", "ours, RandAugment"):
    small = f"{name}, stored with a short side of {_STORED}"
    candidates[small] = functools.partial(_all, views[name], stored)
  candidates |= {
    "tf.data, antialiased": _tf_data(encoded, antialias=True),
    "tf.data": _tf_data(encoded, antialias=False),
  }
  seconds = time_interleaved(candidates, rounds, clock=time.process_time)
  results = {}
  for name, times in seconds.items():
    difference = None
    if not name.startswith("timm"):
      reference = candidates[REFERENCE_RAND_AUGMENT if "Rand" in name else REFERENCE]
      pairs = zip(candidates[name](), reference(), strict=True)
      difference = float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in pairs]))
    results[name] = Timed([num_images / t for t in times], difference)
  return results


def photographs(count: int) -> list[bytes]:
  """Returns JPEGs of 500x375 pixels, different parts of scikit-learn's two photographs."""
  from sklearn.datasets import load_sample_images

  rng = np.random.default_rng(0)
  height, width = _SHAPE
  encoded = []
  for i in range(count):
    image = load_sample_images().images[i % 2]
    top, left = (int(rng.integers(0, a - b)) for a, b in zip(image.shape, _SHAPE, strict=False))
    buffer = io.BytesIO()
    part = Image.fromarray(image[top : top + height, left : left + width])
    part.save(buffer, "JPEG", quality=95)
    encoded.append(buffer.getvalue())
  return encoded


def _all(view: View, encoded: Sequence[bytes]) -> list[np.ndarray]:
  return [view(content, np.random.default_rng(i)) for i, content in enumerate(encoded)]


def _our_view(rand_augment: str) -> View:
  augmentation = Augmentation(
    "random_resized", _SCALE, _ASPECT, flip_rate=_FLIP_RATE, rand_augment=rand_augment
  )
  decode = augmentation.library.decode
  return lambda content, rng: augmentation.view(decode(content), SIZE, rng)


def _pillow_view(
  content: bytes, rng: np.random.Generator, rand_augment: RandAugment | None
) -> np.ndarray:
  """Makes a view by the steps of timm's transform, in the fewest calls of Pillow."""
  image = Image.open(io.BytesIO(content)).convert("RGB")
  top, left, height, width = random_box(_SHAPE, _SCALE, _ASPECT, rng)
  image = image.crop((left, top, left + width, top + height))
  image = image.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
  if rng.random() < _FLIP_RATE:
    image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
  return np.asarray(rand_augment(image, rng) if rand_augment else image)


def _tf_data(encoded: Sequence[bytes], antialias: bool) -> Callable[[], list[np.ndarray]]:
  """Returns a pipeline of one thread that decodes the box alone."""
  # Before the import: its start-up messages would stand in the middle of the table.
  os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
  try:
    import tensorflow as tf
  except ImportError as error:
    raise InputError(f"`bench input` needs TensorFlow, as in requirements.txt: {error}.") from error

  draws = []
  for i in range(len(encoded)):
    rng = np.random.default_rng(i)
    draws.append((*random_box(_SHAPE, _SCALE, _ASPECT, rng), rng.random() < _FLIP_RATE))
  *boxes, flips = zip(*draws, strict=True)

  def view(content: Any, box: Any, flip: Any) -> Any:
    pixels = tf.io.decode_and_crop_jpeg(content, box, channels=3, dct_method="INTEGER_ACCURATE")
    pixels = tf.image.resize(pixels, (SIZE, SIZE), "bicubic", antialias=antialias)
    pixels = tf.cond(flip, lambda: tf.reverse(pixels, [1]), lambda: pixels)
    return tf.cast(tf.clip_by_value(tf.round(pixels), 0, 255), tf.uint8)

  columns = (list(encoded), np.stack(boxes, axis=1).astype(np.int32), np.array(flips))
  dataset = tf.data.Dataset.from_tensor_slices(columns).map(view)
  options = tf.data.Options()
  options.threading.private_threadpool_size = 1
  options.threading.max_intra_op_parallelism = 1
  dataset = dataset.with_options(options)
  return lambda: list(dataset.as_numpy_iterator())


def _kornia_views() -> dict[str, View]:
  """Returns our views with the resizing of kornia_rs; none where it is not installed."""
  try:
    from kornia_rs.imgproc import resize
  except ImportError:
    return {}
  import simplejpeg

  def view(content: bytes, rng: np.random.Generator) -> np.ndarray:
    top, left, height, width = random_box(_SHAPE, _SCALE, _ASPECT, rng)
    pixels = simplejpeg.decode_jpeg(content, "RGB")[top : top + height, left : left + width]
    resized = resize(np.ascontiguousarray(pixels), (SIZE, SIZE), "bicubic")
    return np.ascontiguousarray(resized[:, ::-1]) if rng.random() < _FLIP_RATE else resized

  return {"resized by kornia_rs": view}


def _timm_views() -> dict[str, View]:
  """Returns timm's own training transforms; none where it is not installed."""
  try:
    from timm.data import create_transform
  except ImportError:
    return {}

  def make(auto_augment: str | None) -> View:
    transform = create_transform(
      SIZE,
      is_training=True,
      use_prefetcher=True,  # ends with uint8 pixels, as ours
      color_jitter=0.0,
      auto_augment=auto_augment,
      interpolation="bicubic",
    )
    return lambda content, rng: np.asarray(
      transform(Image.open(io.BytesIO(content)).convert("RGB"))
    )

  # Without the deviation: at 10 timm posterizes to no bit, which Pillow 13 refuses.
  return {"timm": make(None), "timm, RandAugment": make(RAND_AUGMENT.replace("-mstd0.5", ""))}
