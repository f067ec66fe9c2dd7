"""Checkpoints that can be trusted: every fault gives the right step or the right refusal."""

import errno
import hashlib
import json
import os
import pathlib
import re
import shutil

import jax
import numpy as np
import pytest
from etils import epath
from small_checkpoints import (
  abstract_of,
  assert_restores,
  lines,
  make_state,
  orbax_fails,
  save_three,
  steps_in,
)

from hornet_jax import files
from hornet_jax.checkpoints import manifest, newest_valid
from hornet_jax.checkpoints.manager import Checkpoints
from hornet_jax.checkpoints.manifest import NAME, Integrity, Verdict
from hornet_jax.checkpoints.newest_valid import load_params
from hornet_jax.checkpoints.train_state import TrainState
from hornet_jax.errors import InputError, StorageError


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  return save_three(tmp_path_factory.mktemp("saved"))


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


@pytest.mark.parametrize("with_manifest", [True, False])
def test_renamed_and_linked_folders_are_no_other_step(with_manifest, directory, caplog):
  """What a folder holds counts, not what it is called: with 43 for 40, three steps are skipped."""
  (directory / "30").rename(directory / "43")
  (directory / "45").symlink_to(directory / "20")
  (directory / "50").symlink_to(directory / "nowhere")
  if not with_manifest:
    for folder in directory.glob("*0"):
      (folder / NAME).unlink(missing_ok=True)
    (directory / "43" / NAME).unlink()
  with Checkpoints(epath.Path(directory), 1) as checkpoints:
    step, restored = checkpoints.restore(abstract_of(make_state(20)))
    assert (step, int(restored.step)) == (20, 20)
    told = " ".join(lines(caplog))
    for name, held in ((43, 30), (45, 20)):
      assert re.search(rf"step {name} left out: it\S* .*of step {held}\b", told), told
    checkpoints.save(45, make_state(45))  # in the place of the link, not where it leads
  assert not (directory / "45").is_symlink()
  assert_restores(directory, 45)


def test_a_link_to_a_checkpoint_elsewhere_is_one(directory, tmp_path):
  (directory / "30").rename(tmp_path / "30")
  (directory / "30").symlink_to(tmp_path / "30")
  assert_restores(directory, 30)
  with Checkpoints(epath.Path(directory), 1) as checkpoints:
    checkpoints.save(31, make_state(31))
  assert steps_in(directory) == [31]
  assert (tmp_path / "30" / NAME).exists()  # the link went, not what it led to


def test_the_next_best_is_taken_where_the_best_is_damaged(directory, caplog):
  data_file(directory / "20").unlink()
  assert load_params(epath.Path(directory), "best", "eval_ema/top1")[0] == 30  # 0.7, after 0.9
  assert [line[:32] for line in lines(caplog)] == ["checkpoint of step 20 left out: "]


def test_a_step_that_is_safe_keeps_its_scores(tmp_path):
  directory = epath.Path(tmp_path)
  with Checkpoints(directory, 3) as checkpoints:
    checkpoints.save(1, make_state(1), {"eval_ema/top1": 0.5})
    checkpoints.save(1, make_state(1))
  assert load_params(directory, "best", "eval_ema/top1")[0] == 1


def test_undamaged_is_the_newest_and_silent(directory, caplog):
  assert_restores(directory, 30)
  assert lines(caplog) == []
  assert load_params(epath.Path(directory), "best", "eval_ema/top1")[0] == 20


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


def test_a_store_that_fails_for_a_while_is_asked_again(directory, monkeypatch, caplog):
  """It says nothing of a checkpoint that it does not answer: none is left out for that."""
  monkeypatch.setattr(files, "PAUSES", (0.0, 0.0))
  failures = [0]

  def failing(call):
    def wrapped(*arguments):
      if failures[0]:
        failures[0] -= 1
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
      return call(*arguments)

    return wrapped

  monkeypatch.setattr(manifest, "_digest", failing(manifest._digest))
  monkeypatch.setattr(newest_valid, "load_weights", failing(newest_valid.load_weights))
  for times in (1, 2):
    failures[0] = times
    assert load_params(epath.Path(directory))[0] == 30
  assert "reading" in caplog.text
  assert "left out" not in caplog.text
  failures[0] = 99
  with pytest.raises(StorageError, match=r"failed 3 times: .*reset by peer\. Hint: start the same"):
    load_params(epath.Path(directory))
  failures[0] = 0
  monkeypatch.setattr(manifest, "check", lambda path: Verdict(Integrity.INTACT))
  failures[0] = 99
  with pytest.raises(StorageError, match=r"restoring step 30 failed 3 times"):
    load_params(epath.Path(directory))


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


def test_manifest_names_every_file(saved):
  folder = saved / "30"
  files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {NAME}
  manifest = json.loads((folder / NAME).read_text())
  assert manifest["step"] == 30
  described = manifest["files"]
  assert set(described) == files
  for name, entry in described.items():
    content = (folder / name).read_bytes()
    assert entry == {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
