"""Made-up scenes of circles, boxes and triangles over noise, with exact masks.

They are what a laptop learns to segment in minutes, without a download.
"""

import dataclasses

import numpy as np

CLASS_NAMES = ("background", "circle", "box", "triangle")
SIDE = 128  # pixels
_FEWEST, _MOST = 1, 4  # shapes
_SMALLEST, _LARGEST = 18, 40  # pixels from the centre to the rim
_TILT = 0.3  # radians at most, from upright
_NOISE = 20.0  # standard deviation, of 255
_GREYS = 96.0, 160.0  # of the ground, of 255
_CONTRAST = 70.0  # least distance of a shape's colour from that of the ground


@dataclasses.dataclass(frozen=True)
class Scene:
  """A `Scene` is an image with what can be seen in it.

  Attributes:
    image: pixels, uint8 [S, S, 3].
    mask: class of each pixel, a number of `CLASS_NAMES`, uint8 [S, S].
    shapes: class of each shape and the pixels of it that can be seen, bool [S, S].
  """

  image: np.ndarray
  mask: np.ndarray
  shapes: list[tuple[int, np.ndarray]]


def make_scene(seed: int, number: int) -> Scene:
  """Draws a scene: the same one for the same numbers.

  One to four shapes of random place, size, tilt and colour lie over each other on a grey ground;
  everything has noise.

  Args:
    seed: seed of a set of scenes.
    number: number of the scene in it.
  """
  rng = np.random.default_rng((seed, number))
  ground = np.full(3, rng.uniform(*_GREYS))
  image = np.tile(ground, (SIDE, SIDE, 1))
  mask = np.zeros((SIDE, SIDE), np.uint8)
  shapes: list[tuple[int, np.ndarray]] = []
  for _ in range(rng.integers(_FEWEST, _MOST, endpoint=True)):
    kind = int(rng.integers(1, len(CLASS_NAMES)))
    inside = _draw(kind, rng)
    image[inside] = _colour(ground, rng)
    mask[inside] = kind
    shapes = [(other, seen & ~inside) for other, seen in shapes] + [(kind, inside)]
  image += rng.normal(0, _NOISE, image.shape)
  pixels = np.clip(np.round(image), 0, 255).astype(np.uint8)
  return Scene(pixels, mask, [(kind, seen) for kind, seen in shapes if seen.any()])


def _draw(kind: int, rng: np.random.Generator) -> np.ndarray:
  """Draws the pixels of one shape, bool [S, S]: those whose centres lie in it."""
  radius, angle = rng.uniform(_SMALLEST, _LARGEST), rng.uniform(-_TILT, _TILT)
  y, x = np.mgrid[:SIDE, :SIDE] - rng.uniform(radius, SIDE - radius, (2, 1, 1))
  if CLASS_NAMES[kind] == "circle":
    return x**2 + y**2 <= radius**2
  down, across = y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)
  if CLASS_NAMES[kind] == "box":
    half = radius / np.sqrt(2)
    return (np.abs(down) <= half) & (np.abs(across) <= half)
  inside = np.ones((SIDE, SIDE), bool)
  for corner in 2 * np.pi * np.arange(3) / 3:  # within radius / 2 of the centre, of each side
    inside &= down * np.cos(corner) + across * np.sin(corner) <= radius / 2
  return inside


def _colour(ground: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """Draws a colour that differs from the ground's."""
  while True:
    colour = rng.uniform(0, 255, 3)
    if np.linalg.norm(colour - ground) >= _CONTRAST:
      return colour
