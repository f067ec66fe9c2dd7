"""This module does RandAugment as the official recipe: that of timm 0.4.12, to the pixel.

Source: timm 0.4.12 `auto_augment.rand_augment_transform`, named by the official code as
`rand-m9-mstd0.5-inc1`; RandAugment itself is arXiv 1909.13719.
"""

import dataclasses
import math
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from hornet_jax.data.pixels.affine import slide
from hornet_jax.errors import InputError

MAX_MAGNITUDE = 10.0
_APPLY_RATE = 0.5
_FILL = (124, 116, 104)  # ImageNet's mean, where a moved image leaves nothing
_SOLARIZE_ADD_THRESHOLD = 128
_SPEC = "rand-m9-mstd0.5-inc1"


@dataclasses.dataclass(frozen=True)
class RandAugment:
  """A `RandAugment` draws some operations, and applies each with probability 0.5.

  They are drawn with replacement. The magnitude of each application is drawn from
  N(magnitude, magnitude_std) and clipped to [0, 10]. So a `magnitude` well above 10, such as the
  official m12 and m15, is in effect the constant 10; there Posterize keeps no bit and the image
  turns black.

  Attributes:
    magnitude: mean of the magnitudes.
    magnitude_std: standard deviation of the magnitudes; infinite for uniform in [0, magnitude].
    num_ops: number of draws for an image.
  """

  magnitude: float
  magnitude_std: float
  num_ops: int = 2

  @classmethod
  def from_spec(cls, spec: str) -> "RandAugment":
    """Reads timm's notation: `rand`, then `-mX` magnitude, `-mstdX`, `-nX` and `-inc1`.

    Raises:
      InputError: if the notation is another one, or `inc1` is missing: the operations
        whose strength does not grow with the magnitude are not here.
    """
    name, *parts = spec.split("-")
    found = [re.fullmatch(r"(mstd)(\d+\.?\d*|inf)|(m)(\d+\.?\d*)|(n|inc)([1-9])", x) for x in parts]
    values = dict(tuple(filter(None, match.groups())) for match in found if match)
    if name != "rand" or len(values) < len(parts) or values.get("inc") != "1":
      raise InputError(
        "`rand_augment` must be in timm's notation, with inc1 and at most one each of m, mstd "
        f"and n: expected such as {_SPEC}, got {spec!r}."
      )
    return cls(
      magnitude=float(values.get("m", MAX_MAGNITUDE)),
      magnitude_std=float(values.get("mstd", 0)),
      num_ops=int(values.get("n", 2)),
    )

  def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Returns an augmented RGB image of the same size, drawn with the generator of the example."""
    for op in rng.choice(len(OPS), self.num_ops):
      if rng.random() < _APPLY_RATE:
        image = apply(image, list(OPS)[op], self._magnitude(rng), negate=rng.random() < 0.5)
    return image

  def _magnitude(self, rng: np.random.Generator) -> float:
    if math.isinf(self.magnitude_std):
      return min(rng.uniform(0, self.magnitude), MAX_MAGNITUDE)
    return float(np.clip(rng.normal(self.magnitude, self.magnitude_std), 0, MAX_MAGNITUDE))


def apply(image: Image.Image, op: str, magnitude: float, *, negate: bool) -> Image.Image:
  """Applies one operation to an RGB image.

  Args:
    image: image of any size; the result has the same.
    op: name in `OPS`.
    magnitude: magnitude in [0, 10].
    negate: whether the other direction is taken, of operations that have two.
  """
  strength = magnitude / MAX_MAGNITUDE
  return OPS[op].function(image, -strength if negate and OPS[op].has_sign else strength)


class Operation(NamedTuple):
  """An `Operation` is a function of images, with one direction or two.

  Attributes:
    function: function of an image and the strength, in [0, 1], or in [-1, 1] with a sign.
    has_sign: whether the strength may be negative.
  """

  function: Callable[[Image.Image, float], Image.Image]
  has_sign: bool


def _posterize(image: Image.Image, strength: float) -> Image.Image:
  # A table of our own: newer Pillows refuse to keep no bit at all, as timm does at 10.
  dropped = 8 - (4 - int(strength * 4))
  return image.point([value >> dropped << dropped for value in range(256)] * 3)


def _solarize(image: Image.Image, strength: float) -> Image.Image:
  return ImageOps.solarize(image, 256 - int(strength * 256))


def _solarize_add(image: Image.Image, strength: float) -> Image.Image:
  """Brightens the dark half of the values."""
  added = int(strength * 110)
  table = [
    min(value + added, 255) if value < _SOLARIZE_ADD_THRESHOLD else value for value in range(256)
  ]
  return image.point(table * 3)


def _enhance(enhancer: type) -> Callable[[Image.Image, float], Image.Image]:
  """Returns an operation by one of Pillow's enhancers, with the factor 1 + 0.9 strength."""
  return lambda image, strength: enhancer(image).enhance(1 + 0.9 * strength)


def _rotate(image: Image.Image, strength: float) -> Image.Image:
  return image.rotate(30 * strength, Image.Resampling.BICUBIC, fillcolor=_FILL)


def _shear(along_rows: bool) -> Callable[[Image.Image, float], Image.Image]:
  return lambda image, strength: slide(
    image, shear=0.3 * strength, shift=0.0, along_rows=along_rows, fill=_FILL
  )


def _translate(along_rows: bool) -> Callable[[Image.Image, float], Image.Image]:
  def translate(image: Image.Image, strength: float) -> Image.Image:
    side = image.width if along_rows else image.height
    shift = 0.45 * strength * side
    return slide(image, shear=0.0, shift=shift, along_rows=along_rows, fill=_FILL)

  return translate


OPS = {
  "AutoContrast": Operation(lambda image, _: ImageOps.autocontrast(image), has_sign=False),
  "Equalize": Operation(lambda image, _: ImageOps.equalize(image), has_sign=False),
  "Invert": Operation(lambda image, _: ImageOps.invert(image), has_sign=False),
  "Rotate": Operation(_rotate, has_sign=True),
  "PosterizeIncreasing": Operation(_posterize, has_sign=False),
  "SolarizeIncreasing": Operation(_solarize, has_sign=False),
  "SolarizeAdd": Operation(_solarize_add, has_sign=False),
  "ColorIncreasing": Operation(_enhance(ImageEnhance.Color), has_sign=True),
  "ContrastIncreasing": Operation(_enhance(ImageEnhance.Contrast), has_sign=True),
  "BrightnessIncreasing": Operation(_enhance(ImageEnhance.Brightness), has_sign=True),
  "SharpnessIncreasing": Operation(_enhance(ImageEnhance.Sharpness), has_sign=True),
  "ShearX": Operation(_shear(along_rows=True), has_sign=True),
  "ShearY": Operation(_shear(along_rows=False), has_sign=True),
  "TranslateXRel": Operation(_translate(along_rows=True), has_sign=True),
  "TranslateYRel": Operation(_translate(along_rows=False), has_sign=True),
}
"""The operations by timm's names."""
