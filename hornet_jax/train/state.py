"""The state of training is made on the devices where it lives."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Key

from hornet_jax.checkpoints.train_state import TrainState
from hornet_jax.models import Architecture
from hornet_jax.models.stacking import stack_blocks
from hornet_jax.parallel.sharding import with_shardings
from hornet_jax.train.width_scaling import UNSCALED, WidthScaling


def abstract_state(
  model: Architecture,
  tx: optax.GradientTransformation,
  image_shape: Sequence[int],
  mesh: Mesh,
  scaling: WidthScaling = UNSCALED,
) -> TrainState:
  """Computes shapes, types and shardings of the state without allocating it.

  Args:
    model: what is trained.
    tx: the optimiser.
    image_shape: (B, H, W, C) of a batch.
    mesh: the devices.
    scaling: factors of the initial values.
  """
  return _described(_initialiser(model, tx, image_shape, scaling), model, mesh)


def create_state(
  model: Architecture,
  tx: optax.GradientTransformation,
  image_shape: Sequence[int],
  mesh: Mesh,
  seed: int,
  scaling: WidthScaling = UNSCALED,
) -> TrainState:
  """Makes the state at step 0; each device computes its own part."""
  initialise = _initialiser(model, tx, image_shape, scaling)
  abstract = _described(initialise, model, mesh)  # which JAX then does not trace again
  on_cpu = mesh.devices.flat[0].platform == "cpu"
  create = jax.jit(
    initialise,
    out_shardings=jax.tree.map(lambda leaf: leaf.sharding, abstract),
    # Runs once: on CPU, optimising hundreds of random draws takes longer than drawing.
    compiler_options={"xla_backend_optimization_level": 0} if on_cpu else None,
  )
  return create(jax.random.key(seed))


def abstract_params(model: Architecture, image_shape: Sequence[int]) -> Any:
  """Computes shapes and types of the parameters, as they are in a state.

  Args:
    model: what has them.
    image_shape: (B, H, W, C) of a batch.
  """
  return jax.eval_shape(_variables(model, image_shape), jax.random.key(0))["params"]


def _described(
  initialise: Callable[[Key[Array, ""]], TrainState], model: Architecture, mesh: Mesh
) -> TrainState:
  shapes = jax.eval_shape(initialise, jax.random.key(0))
  return with_shardings(shapes, model.param_info, shapes.params, mesh)


def _initialiser(
  model: Architecture,
  tx: optax.GradientTransformation,
  image_shape: Sequence[int],
  scaling: WidthScaling,
) -> Callable[[Key[Array, ""]], TrainState]:
  make_variables = _variables(model, image_shape)

  def initialise(key: Key[Array, ""]) -> TrainState:
    variables = make_variables(key)
    params = scaling.scale_initial(variables.pop("params"))
    # A copy: one buffer cannot be donated twice.
    ema_params = jax.tree.map(jnp.copy, params)
    step, skipped, in_a_row = (jnp.zeros((), jnp.int32) for _ in range(3))
    return TrainState(step, params, ema_params, tx.init(params), skipped, in_a_row, variables)

  return initialise


def _variables(
  model: Architecture, image_shape: Sequence[int]
) -> Callable[[Key[Array, ""]], dict[str, Any]]:
  # One row cannot be spread over devices.
  model = model.clone(execution=model.execution.off_mesh())

  def make(key: Key[Array, ""]) -> dict[str, Any]:
    images = jnp.zeros((1, *image_shape[1:]), jnp.float32)
    variables = dict(model.init(key, images))
    return stack_blocks(variables) if model.execution.scan else variables

  return make
