"""Small checkpoints whose numbers tell the step, without a model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from hornet_jax.checkpoints.manager import Checkpoints
from hornet_jax.checkpoints.newest_valid import load_params
from hornet_jax.checkpoints.train_state import TrainState
from hornet_jax.parallel.mesh import make_mesh, replicated


def make_state(step, megabytes=0.0, sharding=None):
  """A small state whose numbers tell the step, and which does not compress."""
  values = np.random.default_rng(step).normal(size=(8, 64 + int(megabytes * 32_768)))
  params = {"w": values.astype(np.float32), "b": np.full((3,), step, np.float32)}
  ema_params = jax.tree.map(lambda leaf: leaf + 1, params)
  numbers = [jnp.int32(value) for value in (step, 0, 0)]
  state = TrainState(numbers[0], params, ema_params, {"mu": params["w"] * 2}, *numbers[1:])
  if sharding is None:
    sharding = replicated(make_mesh(jax.devices()[:1]))
  return jax.device_put(state, sharding)


def abstract_of(state):
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state
  )


def assert_restores(directory, step, **settings):
  """A new start goes on from `step`, with the numbers of that step."""
  with Checkpoints(epath.Path(directory), 3, **settings) as checkpoints:
    assert checkpoints.latest_step == step
    restored_step, restored = checkpoints.restore(abstract_of(make_state(step)))
  assert restored_step == step
  jax.tree.map(np.testing.assert_array_equal, restored, make_state(step))
  loaded_step, params, ema_params = load_params(epath.Path(directory))
  assert loaded_step == step
  np.testing.assert_array_equal(params["w"], restored.params["w"])
  np.testing.assert_array_equal(ema_params["w"], restored.params["w"] + 1)


def steps_in(directory):
  return sorted(int(path.name) for path in directory.iterdir() if path.name.isdecimal())


def lines(caplog):
  """What was logged, each message of one line."""
  messages = [record.getMessage() for record in caplog.records if record.name.startswith("hornet")]
  assert not any("\n" in message for message in messages)
  caplog.clear()
  return messages


def orbax_fails(test):
  """Marks a test in which a save or a restore of Orbax fails: it leaves what it was doing."""
  ignored = "ignore::pytest.PytestUnraisableExceptionWarning"
  return pytest.mark.filterwarnings(ignored)(pytest.mark.usefixtures("collected")(test))


def save_three(directory):
  """Saves steps 10, 20 and 30 one after another; 20 is the best."""
  with Checkpoints(epath.Path(directory), 3) as checkpoints:
    for step, top1 in ((10, 0.5), (20, 0.9), (30, 0.7)):
      checkpoints.save(step, make_state(step), {"eval_ema/top1": top1})
  return directory
