"""A result names the code that it was trained with."""

import subprocess

import pytest

import hornet_jax
from hornet_jax.studies import revision


@pytest.fixture
def root(monkeypatch, tmp_path):
  """A folder in place of that of the package."""
  monkeypatch.setattr(revision, "_ROOT", tmp_path)
  revision.revision.cache_clear()
  yield tmp_path
  revision.revision.cache_clear()


def git(folder, *arguments):
  identity = ["-c", "user.name=n", "-c", "user.email=n@example.com"]
  command = ["git", "-C", str(folder), *identity, *arguments]
  return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_what_is_installed_has_a_version_alone(root):
  assert revision.revision() == hornet_jax.__version__


@pytest.mark.parametrize("is_changed", [False, True])
def test_a_checkout_names_its_commit(root, is_changed):
  git(root, "init")
  (root / "file").write_text("one")
  git(root, "add", "file")
  git(root, "commit", "-m", "first")
  if is_changed:
    (root / "file").write_text("two")
  commit = git(root, "rev-parse", "--short", "HEAD")
  dirty = "-dirty" if is_changed else ""
  assert revision.revision() == f"{hornet_jax.__version__}+{commit}{dirty}"
