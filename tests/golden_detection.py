"""Reads the reference arrays of boxes, and makes boxes at random."""

import jax.numpy as jnp
import numpy as np
from golden_data import GOLDEN
from jax import Array

ARRAYS = dict(np.load(GOLDEN / "detection.npz"))


def golden(name: str) -> dict[str, Array]:
  """The arrays of one case, and of those below it."""
  found = {k: v for k, v in ARRAYS.items() if k.startswith(f"{name}/")}
  assert found, name
  return {k.removeprefix(f"{name}/"): jnp.asarray(v) for k, v in found.items()}


def random_boxes(seed: int, number: int, extent=50.0, largest=30.0) -> Array:
  random = np.random.default_rng(seed)
  start = random.uniform(0, extent, (number, 2))
  end = start + random.uniform(1, largest, (number, 2))
  return jnp.asarray(np.concatenate([start, end], axis=1), jnp.float32)


def overlap_of(a, b) -> float:
  """Intersection over union of two boxes, written out."""
  width = min(a[2], b[2]) - max(a[0], b[0])
  height = min(a[3], b[3]) - max(a[1], b[1])
  both = max(width, 0.0) * max(height, 0.0)
  union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - both
  return both / union if union > 0 else 0.0
