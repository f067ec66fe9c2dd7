"""Users without a name or a home, as in a container that was started with the number of a user."""

import os
import pathlib
import pwd
import subprocess
import sys
import tempfile

import pytest
from compiling import QUICK_FLAGS
from etils import epath
from PIL import Image
from processes import CONFIG, ROOT, SMALL, overrides

from hornet_jax.checkpoints import manifest
from hornet_jax.data.datasets import resolve_data_dir
from hornet_jax.errors import InputError
from hornet_jax.paths import cache_folder, expanded, file_size, modified

USER = 54321


@pytest.fixture
def nobody(monkeypatch, tmp_path):
  """This process's user has neither; the temporary folder is that of the test."""

  def unknown(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")

  monkeypatch.setattr(pwd, "getpwuid", unknown)
  monkeypatch.delenv("HOME", raising=False)
  monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
  monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
  monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.usefixtures("nobody")
def test_files_of_nobody_have_a_size_and_a_time(tmp_path):
  path = epath.Path(tmp_path / "a")
  path.write_text("abc")
  with pytest.raises(KeyError):
    path.stat()
  assert file_size(path) == 3
  assert modified(path) == os.stat(path).st_mtime

  (tmp_path / "7" / "state").mkdir(parents=True)
  (tmp_path / "7" / "state" / "d").write_text("data")
  assert manifest.size_of(epath.Path(tmp_path / "7")) == 4


@pytest.mark.usefixtures("nobody")
def test_caches_of_nobody_are_temporary_and_nobody_elses(tmp_path):
  folder = cache_folder()
  assert folder == tmp_path / f"hornet_jax-{os.getuid()}"
  assert folder.stat().st_mode & 0o777 == 0o700
  assert cache_folder() == folder
  folder.chmod(0o777)  # others may have put something there
  other = cache_folder()
  assert other.parent == tmp_path
  assert other != folder


def test_caches_go_where_the_environment_says_or_elsewhere(monkeypatch, tmp_path):
  monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
  assert cache_folder() == tmp_path / "caches" / "hornet_jax"
  (tmp_path / "file").touch()
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
  assert cache_folder() == tmp_path / f"hornet_jax-{os.getuid()}"


@pytest.mark.usefixtures("nobody")
def test_datasets_of_nobody_need_a_place():
  with pytest.raises(
    InputError, match=r"data\.data_dir.*TFDS_DATA_DIR.*has no home\. Hint: .*HOME"
  ):
    resolve_data_dir("")
  assert resolve_data_dir("/data") == epath.Path("/data")
  assert expanded("gs://bucket/data", "a") == epath.Path("gs://bucket/data")


@pytest.fixture
def folder():
  """For all users: pytest's own are for one."""
  with tempfile.TemporaryDirectory() as path:
    yield pathlib.Path(path)


@pytest.mark.slow
def test_a_whole_job_of_nobody(folder):
  """Prepares, trains, goes on, looks at the result: as a user of a number alone."""
  # The interpreter may lie in the home of root: what reads, and writes nothing, is kept.
  caps = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
  command = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *caps]
  environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME")}
  environment |= {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp")}
  environment["XLA_FLAGS"] = QUICK_FLAGS

  def run(*arguments):
    return subprocess.run(
      [*command, sys.executable, *arguments],
      cwd=folder,
      env=environment,
      capture_output=True,
      text=True,
      check=False,
    )

  if os.getuid() != 0:
    pytest.skip("only root can become a user without a name")
  (folder / "tmp").mkdir()
  for path in (folder, folder / "tmp"):
    os.chown(path, USER, USER)
  try:
    child = run("-c", "import subprocess, sys; subprocess.run([sys.executable, '-c', ''])")
  except FileNotFoundError:
    pytest.skip("there is no setpriv")
  if child.returncode:
    pytest.skip(f"another user cannot be had: {child.stderr.splitlines()[-1]}")

  def hornet(*arguments):
    child = run("-m", "hornet_jax", *arguments)
    assert child.returncode == 0, child.stderr
    assert "matplotlib" not in child.stderr.lower()
    return child.stdout

  Image.new("RGB", (8, 8), "white").save(folder / "white.png")
  hornet("prepare", "digits", "--data_dir=data")
  settings = {**SMALL, "data.data_dir": "data", "epochs": 1.0}
  training = ["train", f"--config={ROOT / CONFIG}", "--workdir=w", *overrides(settings)]
  assert "report:" in hornet(*training)
  assert "report:" in hornet(*training)
  assert "digits/test" in hornet("evaluate", "--workdir=w")
  assert "intact" in hornet("checkpoint", "list", "--workdir=w")
  assert "intact" in hornet("checkpoint", "verify", "--workdir=w")
  assert hornet("predict", "--workdir=w", "white.png")
  hornet("export", "--workdir=w", "--out=m.safetensors")
  assert (folder / "m.safetensors").stat().st_uid == USER
  assert not (folder / "~").exists()
