"""Workdirs as they are found: begun and not finished, damaged, another's, refused."""

import json

import jax
import pytest
from etils import epath
from processes import CONFIG, SMALL, overrides

from hornet_jax.checkpoints.manifest import check
from hornet_jax.checkpoints.retention import find_steps
from hornet_jax.cli import config as config_flag
from hornet_jax.config.flat import flatten, nest
from hornet_jax.errors import InputError
from hornet_jax.paths import check_reachable
from hornet_jax.runs import workdir as workdir_module
from hornet_jax.runs.rollback import Rollbacks
from hornet_jax.runs.workdir import (
  changed_settings,
  check_shared,
  is_workdir,
  load_config,
  save_description,
)
from hornet_jax.train.run import train
from hornet_jax.train.set_up import set_up


@pytest.fixture
def config(data_dir):
  return config_flag.load(CONFIG, overrides({**SMALL, "data.data_dir": data_dir}))


@pytest.fixture
def begun(config, tmp_path):
  """A workdir of a run that was complete."""
  _, inputs = set_up(config, jax.devices()[:1])
  save_description(config, inputs.splits.train, epath.Path(tmp_path))
  (tmp_path / "result.json").write_text('{"complete": true}')
  return tmp_path


def test_a_description_that_was_cut_short_is_written_again(config, begun):
  """By a full disk or a kill: without the config there is no run yet."""
  (begun / "config.json").unlink()
  assert not is_workdir(epath.Path(begun))
  assert changed_settings(config, epath.Path(begun)) == []


def test_a_run_of_before_tasks_goes_on_as_classification(config, begun):
  path = begun / "config.json"
  earlier = json.loads(path.read_text())
  assert earlier.pop("task") == "classification"
  path.write_text(json.dumps(earlier))
  assert changed_settings(config, epath.Path(begun)) == []
  with pytest.raises(InputError, match="task was 'classification' and is 'another'"):
    changed_settings({**config, "task": "another"}, epath.Path(begun))


def write_config(workdir, without=(), **changes):
  """Writes the workdir's config as another version would have."""
  values = flatten(json.loads((workdir / "config.json").read_text())) | changes
  kept = {name: value for name, value in values.items() if name not in without}
  (workdir / "config.json").write_text(json.dumps(nest(kept)))


def test_a_run_of_an_earlier_version_goes_on(config, begun):
  write_config(begun, without=("version", "task"), **{"checkpoint.executables": True})
  assert changed_settings(config, epath.Path(begun)) == []
  write_config(begun, without=("data.flip_rate",))  # before there were flips
  assert load_config(epath.Path(begun))["data"]["flip_rate"] == 0


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"version": 99}, r"config.json must be a config of this program: .*at most \d+, got 99"),
    ({"model.sacn": True}, "unknown config key 'model.sacn'.*did you mean 'model.scan'"),
  ],
)
def test_a_run_of_a_later_version_is_refused(changes, message, config, begun):
  write_config(begun, **changes)
  with pytest.raises(InputError, match=message):
    changed_settings(config, epath.Path(begun))


@pytest.mark.parametrize(
  "other", [{"seed": 7}, {"epochs": 1.0, "model.variant": "hornet_nano_7x7"}]
)
def test_a_refused_start_leaves_the_result_alone(other, config, begun, data_dir):
  different = config_flag.load(CONFIG, overrides({**SMALL, "data.data_dir": data_dir, **other}))
  with pytest.raises(InputError, match="belongs to another config"):
    train(different, epath.Path(begun), jax.devices()[:1])
  assert json.loads((begun / "result.json").read_text()) == {"complete": True}


@pytest.mark.parametrize(
  ("name", "content"),
  [
    ("config.json", "[1]"),
    ("config.json", "{"),
    ("dataset.json", "[1, 2]"),
    ("dataset.json", '{"examples": "many", "class_names": []}'),
    ("dataset.json", '{"examples": 3, "class_names": [1]}'),
    ("dataset.json", ""),
  ],
)
def test_damaged_descriptions_are_one_line(name, content, config, begun):
  (begun / name).write_text(content)
  with pytest.raises(InputError, match=rf"expected a readable \S+{name}, got: .*Hint: ") as raised:
    train(config, epath.Path(begun), jax.devices()[:1])
  assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", ["[{", "{}x", '[{"fai": 3}]', "[3]", '{"failed": 3}', "3"])
def test_rollbacks_that_cannot_be_read_are_not_forgotten(content, tmp_path):
  (tmp_path / "rollbacks.json").write_text(content)
  with pytest.raises(InputError, match=r"rollbacks.json must name the rollbacks of a run"):
    Rollbacks(epath.Path(tmp_path))


def test_what_must_not_be_read_is_not_damaged(tmp_path, monkeypatch):
  """Root may read everything, so the refusal is made up."""
  folder = tmp_path / "checkpoints" / "5"
  (folder / "state").mkdir(parents=True)
  path_type = type(epath.Path(tmp_path))

  def refuse(self, *_):
    raise PermissionError(13, "Permission denied")

  (folder / "hornet_manifest.json").write_text("{}")
  with monkeypatch.context() as patch:
    patch.setattr(path_type, "read_text", refuse)
    with pytest.raises(InputError, match=r"manifest.json must be readable: Permission denied"):
      check(epath.Path(folder))
  monkeypatch.setattr(path_type, "iterdir", refuse)
  for look in (lambda: find_steps(epath.Path(folder.parent)), lambda: check(epath.Path(folder))):
    with pytest.raises(InputError, match=r"must be readable: Permission denied\. Hint: see to its"):
      look()


def test_folders_of_one_name_on_two_hosts_are_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(workdir_module, "_SHOWN_SECONDS", 0.0)
  monkeypatch.setattr(jax, "process_index", lambda: 1)
  with pytest.raises(InputError, match="must be one folder that all hosts see"):
    check_shared(epath.Path(tmp_path))
  (tmp_path / "run.lock").touch()
  check_shared(epath.Path(tmp_path))


def test_a_store_is_named_by_two_slashes():
  with pytest.raises(InputError, match=r"gs:/bucket/run must name a store by two slashes"):
    check_reachable("gs:/bucket/run")
