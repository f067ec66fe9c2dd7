"""Colours of an image are changed at random, as in the official training of segmentation."""

import numpy as np
from PIL import Image

_BRIGHTNESS = 32.0  # of 255
_CONTRAST = _SATURATION = (0.5, 1.5)
_HUE = 18  # of 180 steps around the circle
_CIRCLE = 256  # steps of Pillow's


def distort(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """Changes brightness, contrast, saturation and hue, each with probability 1/2.

  Contrast is changed before saturation and hue or after them, with equal probability.

  Source: mmseg `PhotoMetricDistortion`, arXiv 1512.02325.
  Deviation: hues are those of Pillow, 256 to the circle, not of OpenCV, 180.

  Args:
    pixels: image, uint8 [H, W, 3].
    rng: generator of the example.

  Returns:
    uint8 [H, W, 3].
  """
  if _coin(rng):
    pixels = _linear(pixels, 1.0, rng.uniform(-_BRIGHTNESS, _BRIGHTNESS))
  contrast_first = _coin(rng)
  if contrast_first and _coin(rng):
    pixels = _linear(pixels, rng.uniform(*_CONTRAST), 0.0)
  saturation = rng.uniform(*_SATURATION) if _coin(rng) else 1.0
  hue = int(rng.integers(-_HUE, _HUE)) * _CIRCLE / 180 if _coin(rng) else 0.0
  pixels = _recoloured(pixels, saturation, round(hue))
  if not contrast_first and _coin(rng):
    pixels = _linear(pixels, rng.uniform(*_CONTRAST), 0.0)
  return pixels


def _coin(rng: np.random.Generator) -> bool:
  return bool(rng.integers(2))


def _linear(values: np.ndarray, factor: float, offset: float) -> np.ndarray:
  """Computes factor * value + offset, cut off at 0 and 255 and rounded down."""
  table = np.clip(np.arange(256, dtype=np.float32) * factor + offset, 0, 255).astype(np.uint8)
  return table[values]


def _recoloured(pixels: np.ndarray, saturation: float, hue: int) -> np.ndarray:
  """Multiplies the saturation and turns the hue."""
  if saturation == 1.0 and not hue:
    return pixels
  hsv = np.array(Image.fromarray(pixels).convert("HSV"))
  hsv[..., 1] = _linear(hsv[..., 1], saturation, 0.0)
  hsv[..., 0] += np.uint8(hue % _CIRCLE)
  return np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))
