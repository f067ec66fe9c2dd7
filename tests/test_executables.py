"""Kept programs: loaded where all is as it was, else compiled again, with the reason."""

import json
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from hornet_jax.cli import config as config_flag
from hornet_jax.train.executables import Executables
from hornet_jax.train.experiment import Experiment
from hornet_jax.train.mesh import batch_sharding, to_devices

SETTINGS = {"config": {"seed": 0}}


def compile_sine():
  return jax.jit(jnp.sin).lower(jax.ShapeDtypeStruct((4,), jnp.float32)).compile()


def refuse():
  raise AssertionError("compiled although it was kept")


def kept(folder, settings=None):
  return Executables(epath.Path(folder), jax.devices()[:1], settings or SETTINGS)


@pytest.fixture(autouse=True)
def log(caplog):
  caplog.set_level(logging.INFO, logger="hornet_jax")
  return caplog


def test_a_kept_program_is_loaded(tmp_path, log):
  x = jnp.arange(4.0)
  first = kept(tmp_path).get("sine", compile_sine)
  second = kept(tmp_path).get("sine", refuse)
  np.testing.assert_array_equal(second(x), first(x))
  assert [record.message.split(" in ")[0] for record in log.records] == [
    "sine compiled",
    "sine loaded",
  ]


def test_other_settings_compile_anew(tmp_path, log):
  kept(tmp_path).get("sine", compile_sine)
  kept(tmp_path, {"config": {"seed": 1}}).get("sine", compile_sine)
  assert "sine is compiled anew: other settings" in log.text
  kept(tmp_path, {"config": {"seed": 1}}).get("sine", refuse)


def test_another_version_is_named(tmp_path, log):
  kept(tmp_path).get("sine", compile_sine)
  path = tmp_path / "sine.0"
  header, _, content = path.read_bytes().partition(b"\n")
  made = json.loads(header)
  made["made_of"]["jax"] = "0.9.9"
  path.write_bytes(json.dumps(made).encode() + b"\n" + content)
  kept(tmp_path).get("sine", compile_sine)
  assert f"sine is compiled anew: jax was '0.9.9' and is '{jax.__version__}'" in log.text


@pytest.mark.parametrize(
  ("damage", "reason"),
  [
    (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "is damaged"),
    (lambda content: content[: len(content) // 2], "is damaged"),
    (lambda content: b"", "is no kept program"),
    (lambda content: b"[1]\n", "is no kept program"),
  ],
)
def test_a_damaged_file_is_not_loaded(tmp_path, log, damage, reason):
  kept(tmp_path).get("sine", compile_sine)
  path = tmp_path / "sine.0"
  path.write_bytes(damage(path.read_bytes()))
  kept(tmp_path).get("sine", compile_sine)
  assert f"sine is compiled anew: {path} {reason}" in log.text
  kept(tmp_path).get("sine", refuse)


def test_what_cannot_be_written_is_no_error(tmp_path, log):
  (tmp_path / "file").write_text("")
  program = kept(tmp_path / "file").get("sine", compile_sine)
  np.testing.assert_allclose(program(jnp.zeros(4)), 0)
  assert "sine.0 is not kept" in log.text


def test_a_loaded_train_step_is_the_compiled_one(tmp_path, data_dir):
  """On eight devices, donation included: the same state, bit by bit, after two steps."""
  overrides = [f"--config.data.data_dir={data_dir}", "--config.data.image_size=16"]
  config = config_flag.load("configs/digits.py:variant=nano_gf,runlocal", overrides)
  experiment = Experiment(config)
  folder = epath.Path(tmp_path / "kept")

  def two_steps():
    programs = Executables(folder, experiment.mesh.devices.flat, config)
    step = experiment.compile_train_step(programs)
    (state, _), batches = experiment.create_state(), experiment.train_batches(0)
    for _ in range(2):
      batch = next(batches)
      sharded = to_devices(batch, len(batch["label"]), batch_sharding(experiment.mesh))
      state, metrics = step(state, sharded)
    return jax.device_get((state, metrics))

  compiled = two_steps()
  assert [path.name for path in folder.iterdir()] == ["train_step.0"]
  jax.tree.map(np.testing.assert_array_equal, compiled, two_steps())
