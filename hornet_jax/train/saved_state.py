"""The state of one checkpoint, read by Orbax in the form that is wanted."""

from typing import Any

import jax
from etils import epath
from orbax.checkpoint import v1 as ocp

from hornet_jax.models.stacking import is_stacked, stack_blocks, unstack_blocks
from hornet_jax.train.sharding import with_shardings
from hornet_jax.train.state import TrainState


def load_state(path: epath.Path, abstract: TrainState) -> TrainState:
  """The whole state, its blocks apart or stacked as wanted, however they were saved.

  Args:
    path: folder of the checkpoint.
    abstract: shapes, types and shardings of what is wanted.
  """

  def load(form: TrainState) -> TrainState:
    return ocp.load_checkpointables(path, {"state": form})["state"]

  wants_stacked = _stacked(abstract)
  if _stacked(_metadata(path)) == wants_stacked:
    return load(abstract)
  as_wanted, as_saved = stack_blocks, unstack_blocks
  if not wants_stacked:
    as_wanted, as_saved = as_saved, as_wanted
  mesh = abstract.step.sharding.mesh
  saved = load(with_shardings(jax.eval_shape(as_saved, abstract), mesh))
  shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract)
  return jax.jit(as_wanted, out_shardings=shardings)(saved)


def load_weights(path: epath.Path) -> dict[str, Any]:
  """`params` and `ema_params` alone, as they were saved, on one device."""
  saved = _metadata(path)
  wanted = jax.tree.map(lambda leaf: ocp.PLACEHOLDER, saved)
  sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  for key in ("params", "ema_params"):
    wanted[key] = jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), saved[key]
    )
  return ocp.load_checkpointables(path, {"state": wanted})["state"]


def _stacked(tree: Any) -> bool:
  return any(is_stacked(path) for path, _ in jax.tree.leaves_with_path(tree))


def _metadata(path: epath.Path) -> Any:
  """Shapes and types of what a checkpoint holds."""
  saved = ocp.checkpointables_metadata(path).metadata["state"]
  if saved is None:
    raise ValueError("its metadata are garbage")
  return saved
