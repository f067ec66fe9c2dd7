"""The state of training is made on the devices where it lives."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Key

from hornet_jax.checkpoints.train_state import TrainState
from hornet_jax.models import Architecture
from hornet_jax.models.stacking import stack_blocks
from hornet_jax.parallel.sharding import with_shardings


def abstract_state(
  model: Architecture,
  tx: optax.GradientTransformation,
  image_shape: Sequence[int],
  mesh: Mesh,
) -> TrainState:
  """Computes shapes, types and shardings of the state without allocating it.

  Args:
    model: what is trained.
    tx: the optimiser.
    image_shape: (B, H, W, C) of a batch.
    mesh: the devices.
  """
  shapes = jax.eval_shape(_initialiser(model, tx, image_shape), jax.random.key(0))
  return with_shardings(shapes, model.param_info, shapes.params, mesh)


def create_state(
  model: Architecture,
  tx: optax.GradientTransformation,
  image_shape: Sequence[int],
  mesh: Mesh,
  seed: int,
) -> TrainState:
  """Makes the state at step 0; each device computes its own part."""
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
  model: Architecture, tx: optax.GradientTransformation, image_shape: Sequence[int]
) -> Callable[[Key[Array, ""]], TrainState]:
  # One row cannot be spread over devices.
  model = model.clone(execution=model.execution.off_mesh())

  def initialise(key: Key[Array, ""]) -> TrainState:
    images = jnp.zeros((1, *image_shape[1:]), jnp.float32)
    variables = dict(model.init(key, images))
    if model.execution.scan:
      variables = stack_blocks(variables)
    params = variables.pop("params")
    # A copy: one buffer cannot be donated twice.
    ema_params = jax.tree.map(jnp.copy, params)
    step, skipped, in_a_row = (jnp.zeros((), jnp.int32) for _ in range(3))
    return TrainState(step, params, ema_params, tx.init(params), skipped, in_a_row, variables)

  return initialise
