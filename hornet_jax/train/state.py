"""What changes during training, created on the devices where it lives."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Key

from hornet_jax.models import HorNet
from hornet_jax.models.stacking import stack_blocks
from hornet_jax.train.sharding import with_shardings


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
  """Everything that a checkpoint holds; arrays, or what describes them abstractly.

  Attributes:
    step: number of updates done, int32 [].
    params: parameters, float32; with `HorNet.scan` as `stack_blocks` has them.
    ema_params: their moving average, float32.
    opt_state: of the optimiser.
    skipped: number of updates left out because they were not finite, int32 [].
    skipped_in_a_row: those just before this state, int32 [].
  """

  step: Any
  params: Any
  ema_params: Any
  opt_state: Any
  skipped: Any
  skipped_in_a_row: Any


def abstract_state(
  model: HorNet,
  tx: optax.GradientTransformation,
  image_shape: Sequence[int],
  mesh: Mesh,
) -> TrainState:
  """Shapes, types and shardings of the state, computed without allocating it.

  Args:
    model: what is trained.
    tx: the optimiser.
    image_shape: (B, H, W, C) of a batch.
    mesh: the devices.
  """
  shapes = jax.eval_shape(_initialiser(model, tx, image_shape), jax.random.key(0))
  return with_shardings(shapes, mesh)


def create_state(
  model: HorNet,
  tx: optax.GradientTransformation,
  image_shape: Sequence[int],
  mesh: Mesh,
  seed: int,
) -> TrainState:
  """The state at step 0; each device computes its own part."""
  abstract = abstract_state(model, tx, image_shape, mesh)
  on_cpu = mesh.devices.flat[0].platform == "cpu"
  create = jax.jit(
    _initialiser(model, tx, image_shape),
    out_shardings=jax.tree.map(lambda leaf: leaf.sharding, abstract),
    # Runs once: on CPU, optimising hundreds of random draws takes longer than drawing.
    compiler_options={"xla_backend_optimization_level": 0} if on_cpu else None,
  )
  return create(jax.random.key(seed))


def _initialiser(
  model: HorNet, tx: optax.GradientTransformation, image_shape: Sequence[int]
) -> Callable[[Key[Array, ""]], TrainState]:
  # One row cannot be spread over devices.
  model = model.clone(batch_axes=(), gather=False)

  def initialise(key: Key[Array, ""]) -> TrainState:
    images = jnp.zeros((1, *image_shape[1:]), jnp.float32)
    params = model.init(key, images)["params"]
    if model.scan:
      params = stack_blocks(params)
    # A copy: one buffer cannot be donated twice.
    ema_params = jax.tree.map(jnp.copy, params)
    step, skipped, in_a_row = (jnp.zeros((), jnp.int32) for _ in range(3))
    return TrainState(step, params, ema_params, tx.init(params), skipped, in_a_row)

  return initialise
