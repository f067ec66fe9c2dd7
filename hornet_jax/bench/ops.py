"""This module times the operations of a block by implementation, forward and with gradients."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from hornet_jax.bench.result import Result, timed
from hornet_jax.bench.rounds import time_interleaved
from hornet_jax.models import create_model, get_variant
from hornet_jax.models.global_filter import filter_spectrum
from hornet_jax.models.gnconv import gnconv_dims
from hornet_jax.ops import depthwise_conv, gelu, layer_norm

Function = Callable[..., jax.Array]


def time_ops(variant: str, batch_size: int, rounds: int, dtype: str = "float32") -> Result:
  """Times the operations at the shapes of a model's stages.

  Args:
    variant: name of the model, at its own image size.
    batch_size: number of images.
    rounds: number of interleaved rounds.
    dtype: type of features and kernels; the global filter's are float32 always.
  """
  rows = []
  operations = _operations(variant, batch_size, jnp.dtype(dtype))
  for name, (baseline, candidates, arguments) in operations.items():
    for of, prepare in (("forward", _forward), ("with gradients", _with_gradients)):
      calls = {by: prepare(function, arguments) for by, function in candidates.items()}
      seconds = time_interleaved(calls, rounds)
      for row in timed(seconds, baseline):
        to = row.pop(f"to {baseline}")
        rows.append({"operation": name, "of": of, **row, "speed-up": to})
  notes = ["speed-up: to the first of each operation, median over the rounds"]
  return Result(f"operations of {variant}, {dtype}, batch {batch_size}", rows, notes)


def _operations(
  variant: str, batch_size: int, dtype: np.dtype
) -> dict[str, tuple[str, dict, tuple]]:
  """Returns for each name the baseline, the candidates and their arguments."""
  model: Any = create_model(variant)
  image_size = get_variant(variant).image_size
  operations: dict[str, tuple[str, dict[str, Function], tuple]] = {}
  keys = iter(jax.random.split(jax.random.key(0), 100))

  def normal(*shape: int, dtype: np.dtype = dtype) -> jax.Array:
    return jax.random.normal(next(keys), shape, dtype)

  def float32(*shape: int) -> jax.Array:
    return normal(*shape, dtype=np.dtype(np.float32))

  for stage, order in enumerate(model.orders):
    dim = model.base_dim * 2**stage
    side = image_size // model.patch_size // 2**stage
    width = sum(gnconv_dims(dim, order))
    shape = f"{side}x{side}x"
    if isinstance(model.filters[stage], str):
      operations[f"depthwise 7x7, {shape}{width}"] = (
        "grouped",
        {by: functools.partial(depthwise_conv, implementation=by) for by in ("grouped", "shift")},
        (normal(batch_size, side, side, width), normal(7, 7, 1, width)),
      )
    else:
      filters = [float32(side, side // 2 + 1, width // 2) for _ in range(2)]
      operations[f"global filter, {shape}{width // 2}"] = (
        "fft",
        {by: functools.partial(filter_spectrum, implementation=by) for by in ("fft", "dft")},
        (float32(batch_size, side, side, width // 2), *filters),
      )
    operations[f"LayerNorm, {shape}{dim}"] = (
      "flax",
      {"flax": _flax_norm, "ours": layer_norm},
      (normal(batch_size, side, side, dim), float32(dim), float32(dim)),
    )
    operations[f"GELU, {shape}{4 * dim}"] = (
      "jax",
      {"jax": functools.partial(jax.nn.gelu, approximate=False), "ours": gelu},
      (normal(batch_size, side, side, 4 * dim),),
    )
  return operations


def _flax_norm(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
  module = nn.LayerNorm(epsilon=1e-6, use_fast_variance=False, dtype=x.dtype)
  return module.apply({"params": {"scale": scale, "bias": bias}}, x)


def _forward(function: Function, arguments: tuple) -> Callable[[], Any]:
  return functools.partial(jax.jit(function).lower(*arguments).compile(), *arguments)


def _with_gradients(function: Function, arguments: tuple) -> Callable[[], Any]:
  def both(g: jax.Array, *arguments: jax.Array) -> Any:
    y, pullback = jax.vjp(function, *arguments)
    return y, pullback(g)

  shape, dtype = arguments[0].shape, arguments[0].dtype
  g = jnp.cos(jnp.arange(arguments[0].size, dtype=jnp.float32)).reshape(shape).astype(dtype)
  return functools.partial(jax.jit(both).lower(g, *arguments).compile(), g, *arguments)
