"""A checkpoint is restored in the form that is wanted, on any mesh, of any version."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from orbax.checkpoint import v1 as ocp
from small_checkpoints import (
  abstract_of,
  assert_restores,
  make_state,
)

from hornet_jax.checkpoints import manifest
from hornet_jax.checkpoints.manager import Checkpoints
from hornet_jax.checkpoints.newest_valid import load_params, load_variables
from hornet_jax.checkpoints.train_state import TrainState
from hornet_jax.errors import InputError
from hornet_jax.models.param_info import layer_param_info
from hornet_jax.models.stacking import stack_blocks
from hornet_jax.parallel.mesh import batch_sharding, make_mesh, replicated
from hornet_jax.parallel.sharding import with_shardings


def test_blocks_come_as_wanted_however_they_were_saved(tmp_path, monkeypatch):
  """Apart or stacked, each part where it belongs; files have them apart."""
  monkeypatch.setattr("hornet_jax.parallel.sharding.MIN_SIZE", 1)
  mesh = make_mesh(jax.devices(), fsdp=4)
  blocks = {f"block_{i}": {"fc1": {"kernel": np.full((8, 2), i, np.float32)}} for i in range(11)}
  params = {"stage_0": blocks, "norm": {"scale": np.ones(2, np.float32)}}
  ema_params = jax.tree.map(lambda leaf: leaf + 0.5, params)
  numbers = [jnp.int32(value) for value in (7, 0, 0)]
  state = TrainState(numbers[0], params, ema_params, ({"mu": params},), *numbers[1:])
  parts = {"block_10": (2, 2), "blocks": (11, 2, 2)}  # of one device
  kinds = {"block_10": state, "blocks": stack_blocks(state)}
  for saved in kinds.values():
    with Checkpoints(epath.Path(tmp_path), 3) as checkpoints:
      checkpoints.save(7, jax.device_put(saved, replicated(mesh)))
    for name, wanted in kinds.items():
      abstract = with_shardings(
        jax.eval_shape(lambda wanted=wanted: wanted), layer_param_info, wanted.params, mesh
      )
      with Checkpoints(epath.Path(tmp_path), 3) as checkpoints:
        _, restored = checkpoints.restore(abstract)
      jax.tree.map(np.testing.assert_array_equal, jax.device_get(restored), wanted)
      for tree in (restored.params, restored.opt_state[0]["mu"]):
        kernel = tree["stage_0"][name]["fc1"]["kernel"]
        assert {shard.data.shape for shard in kernel.addressable_shards} == {parts[name]}
    _, *loaded = load_params(epath.Path(tmp_path))
    jax.tree.map(np.testing.assert_array_equal, loaded, [params, ema_params])


def test_restores_on_any_mesh(tmp_path):
  def sharded(step, mesh):
    state = make_state(step)
    shardings = jax.tree.map(
      lambda leaf: batch_sharding(mesh) if leaf.ndim == 2 else replicated(mesh), state
    )
    return jax.device_put(state, shardings)

  eight, two, one = (make_mesh(jax.devices()[:count]) for count in (8, 2, 1))
  with Checkpoints(epath.Path(tmp_path), 3) as checkpoints:
    checkpoints.save(7, sharded(7, eight))
  for mesh in (eight, two, one):
    with Checkpoints(epath.Path(tmp_path), 3) as checkpoints:
      _, restored = checkpoints.restore(abstract_of(sharded(7, mesh)))
    assert len(restored.params["w"].sharding.device_set) == mesh.size
    jax.tree.map(np.testing.assert_array_equal, restored, make_state(7))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class EarlierState:
  """A state as versions saved it that knew no state of the model."""

  step: Any
  params: Any
  ema_params: Any
  opt_state: Any
  skipped: Any
  skipped_in_a_row: Any


def test_checkpoints_of_earlier_versions_are_restored(tmp_path):
  state = make_state(7)
  fields = {field.name: getattr(state, field.name) for field in dataclasses.fields(EarlierState)}
  folder = epath.Path(tmp_path) / "7"
  ocp.save_checkpointables(folder, {"state": EarlierState(**fields)})
  manifest.write_manifest(folder, 7)
  assert_restores(tmp_path, 7)
  wanted = dataclasses.replace(
    abstract_of(state), model_state={"batch_stats": {"mean": state.step}}
  )
  with (
    Checkpoints(epath.Path(tmp_path), 3) as checkpoints,
    pytest.raises(InputError, match="it has no model state"),
  ):
    checkpoints.restore(wanted)


def test_the_state_of_the_model_is_kept(tmp_path):
  statistics = {"batch_stats": {"norm": {"mean": jnp.arange(3.0)}}}
  state = dataclasses.replace(make_state(7), model_state=statistics)
  with Checkpoints(epath.Path(tmp_path), 3) as checkpoints:
    checkpoints.save(7, state)
  with Checkpoints(epath.Path(tmp_path), 3) as checkpoints:
    _, restored = checkpoints.restore(abstract_of(state))
  jax.tree.map(np.testing.assert_array_equal, restored, state)
  _, raw, averaged = load_variables(epath.Path(tmp_path))
  for variables in (raw, averaged):
    np.testing.assert_array_equal(variables["batch_stats"]["norm"]["mean"], np.arange(3.0))
  np.testing.assert_array_equal(averaged["params"]["w"], state.ema_params["w"])
