"""The forward pass of a HorNet by implementation of its depthwise convolutions."""

import functools

import jax
import numpy as np

from hornet_jax.bench.rounds import time_interleaved
from hornet_jax.models import create_model, get_variant


def time_forward(variant: str, batch_size: int, rounds: int) -> dict[str, list[float]]:
  """Seconds of a jitted forward pass, float32, for `grouped` and for `auto`.

  Args:
    variant: name of the model, at its own image size.
    batch_size: images.
    rounds: interleaved rounds.
  """
  size = get_variant(variant).image_size
  images = np.random.default_rng(0).standard_normal((batch_size, size, size, 3), np.float32)
  # Values do not matter to the time; zeros spare the compilation of an initialisation.
  model = create_model(variant)
  shapes = jax.eval_shape(model.init, jax.random.key(0), images)
  params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
  candidates = {}
  for implementation in ("grouped", "auto"):
    model = create_model(variant, depthwise=implementation)
    compiled = (
      jax.jit(lambda p, x, model=model: model.apply(p, x)[0]).lower(params, images).compile()
    )
    candidates[implementation] = functools.partial(compiled, params, images)
  return time_interleaved(candidates, rounds)
