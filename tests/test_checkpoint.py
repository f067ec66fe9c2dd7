"""Checkpoints that can be trusted: every fault gives the right step or the right refusal."""

import base64
import hashlib
import json
import os
import pathlib
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from small_checkpoints import (
  abstract_of,
  assert_restores,
  lines,
  make_state,
  orbax_fails,
  steps_in,
)

from hornet_jax.errors import InputError
from hornet_jax.models.stacking import stack_blocks
from hornet_jax.train import manifest
from hornet_jax.train.checkpoint import Checkpoints, load_params
from hornet_jax.train.manifest import NAME, State
from hornet_jax.train.mesh import batch_sharding, make_mesh, replicated
from hornet_jax.train.sharding import with_shardings
from hornet_jax.train.state import TrainState
from hornet_jax.train.step_folders import StepFolder, surplus


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  """Steps 10, 20 and 30, saved one after another; 20 is the best."""
  directory = tmp_path_factory.mktemp("saved")
  with Checkpoints(epath.Path(directory), 3) as checkpoints:
    for step, top1 in ((10, 0.5), (20, 0.9), (30, 0.7)):
      checkpoints.save(step, make_state(step), {"eval_ema/top1": top1})
  return directory


@pytest.fixture
def directory(saved, tmp_path):
  """A copy to damage."""
  return pathlib.Path(shutil.copytree(saved, tmp_path / "checkpoints"))


def data_file(folder):
  """The largest file of a checkpoint: where the numbers are."""
  files = [path for path in folder.rglob("*") if path.is_file()]
  return max(files, key=lambda path: path.stat().st_size)


def overwrite(path, content, offset=0):
  with path.open("r+b") as file:
    file.seek(offset)
    file.write(content)


FAULTS = {
  "16 bytes overwritten": (
    lambda folder: overwrite(data_file(folder), b"\xa5" * 16, offset=1000),
    r"state/\S*d/\w+: its SHA256 is not that of the manifest",
  ),
  "data file truncated": (
    lambda folder: os.truncate(data_file(folder), 100),
    r"state/\S*d/\w+: 100 bytes instead of [\d,]+",
  ),
  "data file missing": (lambda folder: data_file(folder).unlink(), r"state/\S*d/\w+: missing"),
  "all data missing": (lambda folder: shutil.rmtree(folder / "state"), "state: missing"),
  "Orbax's manifest missing": (
    lambda folder: (folder / "state/manifest.ocdbt").unlink(),
    "state/manifest.ocdbt: missing",
  ),
  "garbage metadata": (
    lambda folder: (folder / "state/_METADATA").write_bytes(b"\x00garbage"),
    "state/_METADATA: 8 bytes instead of",
  ),
  "garbage metadata of the step": (
    lambda folder: overwrite(folder / "_CHECKPOINT_METADATA", b"garbage!"),
    "_CHECKPOINT_METADATA: its SHA256 is not that of the manifest",
  ),
  "garbage manifest": (lambda folder: (folder / NAME).write_bytes(b"\x00"), f"{NAME}: not a man"),
  "manifest of something else": (lambda folder: (folder / NAME).write_text("[1]"), f"{NAME}: not"),
  "empty manifest": (
    lambda folder: (folder / NAME).write_text('{"files": {}}'),
    f"{NAME}: names no file",
  ),
  "manifest missing": (lambda folder: (folder / NAME).unlink(), f"has no {NAME}, and step 20 has"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_damage_walks_back_one_step_in_one_line(fault, directory, caplog):
  damage, reason = FAULTS[fault]
  damage(directory / "30")
  with Checkpoints(epath.Path(directory), 3) as checkpoints:
    assert checkpoints.latest_step == 20
  (line,) = lines(caplog)
  assert re.match(rf"checkpoint of step 30 left out: .*{reason}", line), line
  assert_restores(directory, 20)
  assert steps_in(directory) == [10, 20, 30]  # nothing is deleted for being damaged


def test_undamaged_is_the_newest_and_silent(directory, caplog):
  assert_restores(directory, 30)
  assert lines(caplog) == []
  assert load_params(epath.Path(directory), "best")[0] == 20


@pytest.mark.parametrize(
  "stray", ["99", "99/state", "notes", "099", "31.orbax-checkpoint-tmp/state"]
)
def test_stray_folders_are_not_checkpoints(stray, directory, caplog):
  (directory / stray).mkdir(parents=True)
  (directory / "98").write_text("a file, not a folder")
  assert_restores(directory, 30)
  told = lines(caplog)
  if stray == "99":
    assert told == ["checkpoint of step 99 left out: an empty folder"] * 2
  elif stray == "99/state":
    expected = f"checkpoint of step 99 left out: it has no {NAME}, and step 30 has"
    assert told == [expected] * 2
  else:
    assert told == []
  assert (directory / stray).exists() == ("tmp" not in stray)


def test_walks_back_as_far_as_it_must(directory, caplog):
  overwrite(data_file(directory / "30"), b"\xa5" * 16, offset=1000)
  data_file(directory / "20").unlink()
  assert_restores(directory, 10)
  assert [line[:34] for line in lines(caplog)[:2]] == [
    "checkpoint of step 30 left out: st",
    "checkpoint of step 20 left out: st",
  ]
  with pytest.raises(InputError, match=r"must hold .* got step 20 \(state/.*: missing\)\. Hint: "):
    load_params(epath.Path(directory), "20")


def test_only_damaged_ones_are_refused_in_one_line_and_kept(directory):
  overwrite(data_file(directory / "30"), b"\xa5" * 16, offset=1000)
  os.truncate(data_file(directory / "20"), 10)
  shutil.rmtree(directory / "10")
  (directory / "10").mkdir()
  pattern = (
    r"got step 30 \(.*SHA256.*\); step 20 \(.*10 bytes .*\); step 10 \(an empty folder\)\. Hint"
  )
  for attempt in (lambda path: Checkpoints(path, 1), load_params):
    with pytest.raises(InputError, match=pattern) as caught:
      attempt(epath.Path(directory))
    assert "\n" not in str(caught.value)
  assert steps_in(directory) == [10, 20, 30]


@orbax_fails
def test_without_any_manifest_what_loads_is_used(directory, caplog):
  """As earlier versions left it, or a kill just after the first commit."""
  for folder in directory.iterdir():
    (folder / NAME).unlink()
  os.truncate(data_file(directory / "30"), 100)
  for path in (directory / "20").rglob("_METADATA"):
    path.write_bytes(b"\x00garbage")
  with Checkpoints(epath.Path(directory), 3) as checkpoints:
    step, restored = checkpoints.restore(abstract_of(make_state(10)))
  assert step == 10
  jax.tree.map(np.testing.assert_array_equal, restored, make_state(10))
  told = [line for line in lines(caplog) if "left out" in line]
  assert [line[:32] for line in told] == [
    "checkpoint of step 30 left out: ",
    "checkpoint of step 20 left out: ",
  ]
  assert max(map(len, told)) < 300


@orbax_fails
def test_another_model_is_told_in_one_line(directory):
  state = make_state(30)
  other = abstract_of(TrainState(**{**vars(state), "params": {"other": state.params["w"]}}))
  with (
    Checkpoints(epath.Path(directory), 3) as checkpoints,
    pytest.raises(InputError, match=r"step 30 in .* is intact, but cannot be restored") as caught,
  ):
    checkpoints.restore(other)
  assert len(str(caught.value).splitlines()) == 1


def test_damage_never_pushes_the_last_good_one_out(directory):
  """With keep=1 and a damaged newest step, the good ones are older than what is damaged."""
  shutil.rmtree(directory / "10")
  overwrite(data_file(directory / "30"), b"\xa5" * 16, offset=1000)
  with Checkpoints(epath.Path(directory), 1) as checkpoints:
    assert checkpoints.latest_step == 20
    checkpoints.save(25, make_state(25))
    checkpoints.wait()
    assert steps_in(directory) == [25, 30]
    assert checkpoints.latest_step == 25
  assert_restores(directory, 25)
  with Checkpoints(epath.Path(directory), 1) as checkpoints:
    checkpoints.save(30, make_state(30))  # the damaged one is replaced
  assert steps_in(directory) == [30]
  assert_restores(directory, 30)


@pytest.mark.parametrize(
  ("states", "keep", "keep_best", "expected"),
  [
    ("III", 1, 0, [1, 2]),
    ("III", 1, 1, [1]),  # step 2 is the best
    ("IID", 1, 0, [1]),
    ("IDD", 1, 0, []),
    ("UII", 1, 0, [1, 2]),
    ("IIU", 1, 0, [1]),
    ("UUU", 2, 0, [1]),
    ("UDU", 1, 0, [1]),
    ("DDD", 1, 0, []),
  ],
)
def test_surplus(states, keep, keep_best, expected, saved):
  by_letter = {"I": State.INTACT, "U": State.UNVERIFIED, "D": State.DAMAGED}
  path = epath.Path(saved)
  steps = [StepFolder(step, path / f"{step}0") for step in (1, 2, 3)]
  found = {step: by_letter[letter] for step, letter in zip((1, 2, 3), states, strict=True)}
  assert [folder.step for folder in surplus(steps, found, keep, keep_best)] == expected


def test_manifest_names_every_file(saved):
  folder = saved / "30"
  files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {NAME}
  described = json.loads((folder / NAME).read_text())["files"]
  assert set(described) == files
  for name, entry in described.items():
    content = (folder / name).read_bytes()
    assert entry == {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_checksums_that_the_store_keeps_are_not_read_again(monkeypatch):
  class Store:
    def info(self, name):
      return {"bucket/a": {"md5Hash": base64.b64encode(b"\x01" * 16).decode()}, "bucket/b": {}}[
        name
      ]

  path = epath.Path("gs://bucket/a")
  monkeypatch.setattr(
    "fsspec.core.url_to_fs", lambda url: (Store(), url.removeprefix("gs://")), raising=True
  )
  assert manifest._stored_md5(path) == "01" * 16
  assert manifest._stored_md5(epath.Path("gs://bucket/b")) is None  # a composite object
  assert manifest._stored_md5(epath.Path("/local")) is None


def test_blocks_come_as_wanted_however_they_were_saved(tmp_path, monkeypatch):
  """Apart or stacked, each part where it belongs; files have them apart."""
  monkeypatch.setattr("hornet_jax.train.sharding.MIN_SIZE", 1)
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
      abstract = with_shardings(jax.eval_shape(lambda wanted=wanted: wanted), mesh)
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
