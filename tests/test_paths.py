"""Paths on disks and in object stores."""

from etils import epath

from hornet_jax.paths import absolute, in_object_store


def test_a_bucket_stays_where_it_is():
  run = epath.Path("gs://bucket/run")
  assert in_object_store(run)
  assert absolute(run) == run


def test_a_folder_gets_its_root(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert not in_object_store("run")
  assert absolute(epath.Path("run")) == epath.Path(tmp_path / "run")
