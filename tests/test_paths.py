"""Paths on disks and in object stores."""

import importlib.util

import pytest
from etils import epath

from hornet_jax.cli.main import main
from hornet_jax.errors import InputError
from hornet_jax.paths import absolute, check_reachable, in_object_store


def test_a_bucket_stays_where_it_is():
  run = epath.Path("gs://bucket/run")
  assert in_object_store(run)
  assert absolute(run) == run


def test_a_folder_gets_its_root(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert not in_object_store("run")
  assert absolute(epath.Path("run")) == epath.Path(tmp_path / "run")


@pytest.fixture
def installed(monkeypatch):
  """Chooses which clients of stores are there."""
  find = importlib.util.find_spec

  def only(*names):
    monkeypatch.setattr(
      importlib.util,
      "find_spec",
      lambda name, *rest: (
        (name in names or None) if name in ("gcsfs", "s3fs", "tensorflow") else find(name, *rest)
      ),
    )

  return only


def test_a_bucket_that_nothing_can_go_to_is_refused_before_anything_is_built(installed, capsys):
  installed()
  for command in (["train", "--config=digits"], ["evaluate"], ["checkpoint", "list"]):
    assert main([*command, "--workdir=gs://bucket/run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "gs://bucket/run must be reachable: gcsfs is not installed." in line
    assert line.endswith("Hint: pip install 'hornet_jax[gcs]'.")


def test_a_bucket_needs_one_client(installed):
  for client in ("gcsfs", "tensorflow"):
    installed(client)
    check_reachable("gs://bucket/run")
  installed("gcsfs")
  with pytest.raises(InputError, match="s3fs is not installed"):
    check_reachable("s3://bucket/run")
  with pytest.raises(InputError, match="expected gs, s3 or a path on a disk, got ftp"):
    check_reachable("ftp://host/run")
  check_reachable("/disk/run")
