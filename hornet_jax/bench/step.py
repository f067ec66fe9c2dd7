"""This module times forward pass and train step by implementation of depthwise convolutions."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hornet_jax.bench.result import Result, timed
from hornet_jax.bench.rounds import time_interleaved
from hornet_jax.models import create_model, get_variant

BASELINE = "grouped"
"""lax's grouped convolution."""


def time_steps(
  variant: str, forward_batch: int, train_batch: int, rounds: int, dtype: str = "float32"
) -> Result:
  """Times both passes, for `grouped` and for `shift`.

  Args:
    variant: name of the model, at its own image size.
    forward_batch: number of images in a forward pass.
    train_batch: number of images in a train step.
    rounds: number of interleaved rounds.
    dtype: type of the computation.
  """
  rows = []
  for of, batch_size, make in (
    ("forward", forward_batch, make_forward),
    ("train step", train_batch, make_train_step),
  ):
    calls = {name: make(variant, batch_size, name, dtype) for name in (BASELINE, "shift")}
    seconds = time_interleaved(calls, rounds)
    rows += [{"of": of, "images": batch_size, **row} for row in timed(seconds, BASELINE)]
  return Result(f"{variant} by its depthwise convolution, {dtype}", rows)


def make_forward(
  variant: str, batch_size: int, depthwise: str = "auto", dtype: str = "float32"
) -> Callable[[], Any]:
  """Compiles a forward pass over images that do not change."""
  model, params, images = _prepared(variant, batch_size, depthwise, dtype)
  compiled = jax.jit(lambda p, x: model.apply(p, x)[0]).lower(params, images).compile()
  return functools.partial(compiled, params, images)


def make_train_step(
  variant: str, batch_size: int, depthwise: str = "auto", dtype: str = "float32"
) -> Callable[[], Any]:
  """Compiles a step of AdamW on cross-entropy, which goes on from call to call."""
  model, params, images = _prepared(variant, batch_size, depthwise, dtype)
  labels = np.arange(batch_size) % model.num_classes
  optimizer = optax.adamw(1e-3, weight_decay=0.05)

  def loss_fn(params: Any, images: Any, labels: Any) -> Any:
    logits = model.apply(params, images)[0]
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.mean(losses)

  def step(state: Any, images: Any, labels: Any) -> tuple[Any, Any]:
    params, moments = state
    loss, gradients = jax.value_and_grad(loss_fn)(params, images, labels)
    updates, moments = optimizer.update(gradients, moments, params)
    return (optax.apply_updates(params, updates), moments), loss

  state = (params, jax.jit(optimizer.init)(params))
  compiled = jax.jit(step, donate_argnums=0).lower(state, images, labels).compile()

  def call() -> Any:
    nonlocal state
    state, loss = compiled(state, images, labels)
    return state, loss

  return call


def _prepared(variant: str, batch_size: int, depthwise: str, dtype: str) -> tuple[Any, Any, Any]:
  size = get_variant(variant).image_size
  images = np.random.default_rng(0).standard_normal((batch_size, size, size, 3), np.float32)
  # Values do not matter to the time; small ones spare the compilation of an initialisation.
  # A loop over blocks costs time on CPU, for what it stacks, and on GPU, for what it launches.
  scan = jax.default_backend() == "tpu"
  model = create_model(variant, depthwise=depthwise, scan=scan, dtype=jnp.dtype(dtype))
  shapes = jax.eval_shape(model.init, jax.random.key(0), images)
  params = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.01, leaf.dtype), shapes)
  return model, params, jnp.asarray(images)
