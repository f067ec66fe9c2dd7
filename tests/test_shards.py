"""Broken files of a dataset are named in one line, at the start where that is possible."""

import pathlib
import shutil

import pytest

from hornet_jax.data.datasets import find_prepared, open_split
from hornet_jax.data.pipeline import eval_batches
from hornet_jax.data.views.eval_view import EvalView
from hornet_jax.errors import InputError
from hornet_jax.tasks import Classification

TASK = Classification(10, EvalView(8, 1.0))


@pytest.fixture
def shard(data_dir, tmp_path):
  """The file of the training split of a copy of the digits."""
  prepared = pathlib.Path(find_prepared("digits", data_dir))
  copy = tmp_path / "digits" / prepared.name
  shutil.copytree(prepared, copy)
  (file,) = copy.glob("digits-train*")
  return file


def read(tmp_path, num_processes=0):
  split = open_split("digits", "train", str(tmp_path))
  batches = eval_batches(split, TASK.load, TASK.schema, batch_size=479, num_processes=num_processes)
  return sum(len(batch["index"]) for batch in batches)


def test_whole_files_are_read(shard, tmp_path):
  assert read(tmp_path) == 1437


@pytest.mark.parametrize(
  ("damage", "reason"),
  [
    (lambda content: content[:200_000], "cannot be read: .*Riegeli"),
    (lambda content: content[:-100], "cannot be read: .*Riegeli"),
    (lambda content: bytes(b ^ 85 for b in content), "cannot be read: "),
  ],
)
def test_a_file_that_cannot_be_read(shard, tmp_path, damage, reason, untyped):
  shard.write_bytes(damage(shard.read_bytes()))
  with pytest.raises(InputError, match=rf"^digits/train, example \d+, .*{shard} {reason}.*Hint"):
    read(tmp_path)


def test_files_are_held_against_the_description(shard, tmp_path):
  shard.write_bytes(b"")
  with pytest.raises(InputError, match=rf"digits/train must have whole files: {shard} has 0 bytes"):
    open_split("digits", "train", str(tmp_path))
  shard.unlink()
  with pytest.raises(InputError, match=rf"missing 1 of 1, such as {shard}\. Hint: copy the file"):
    open_split("digits", "train", str(tmp_path))
  assert len(open_split("digits", "test", str(tmp_path)).source) == 360
