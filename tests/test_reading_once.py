"""Numbers of every example that are kept beside the files of a split."""

import numpy as np
import pytest

from hornet_jax.data.datasets import Split
from hornet_jax.data.reading_once import read_once


def read(split, seen):
  def number(example):
    seen.append(example)
    return 2 * example["number"]

  return read_once(split, "doubles", number, np.int64).tolist()


@pytest.fixture
def split(tmp_path):
  examples = [{"number": k} for k in range(5)]
  return Split("numbers/train", examples, ["a"], files=[str(tmp_path / "part.array_record")])


def test_a_split_is_read_once(split):
  seen = []
  assert read(split, seen) == read(split, seen) == [0, 2, 4, 6, 8]
  assert len(seen) == 5


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign", "floats", "fewer"])
def test_a_kept_file_that_is_damaged_is_written_anew(split, tmp_path, damage):
  assert read(split, []) == [0, 2, 4, 6, 8]
  file = tmp_path / "doubles_train.npy"
  whole = file.read_bytes()
  if damage == "floats":
    np.save(file, np.arange(5) / 2)
  elif damage == "fewer":
    np.save(file, np.arange(4))
  else:
    file.write_bytes({"cut": whole[:-9], "empty": b"", "foreign": b"no numbers"}[damage])
  assert read(split, []) == [0, 2, 4, 6, 8]
  assert file.read_bytes() == whole
