"""How large the images of a split are, at most, as a dataset says it."""

import pytest
from etils import epath

from hornet_jax.data.largest_sizes import LARGEST_SIZES, LargestSizes, read_largest_size
from hornet_jax.errors import InputError


def test_largest_height_and_width_need_not_be_of_one_image(tmp_path):
  folder, sizes = epath.Path(tmp_path), LargestSizes()
  for split, size in (("train", (5, 3)), ("train", (2, 9)), ("test", (7, 7)), ("train", (4, 4))):
    sizes.see(split, size)
  sizes.write(folder)
  for split, expected in {
    "train": (5, 9),
    "test": (7, 7),
    "train[:50%]": (5, 9),
    "train[2:]+test": (7, 9),
    "validation": None,
    "train+validation": None,
  }.items():
    assert read_largest_size(folder, split) == expected, split


def test_a_dataset_that_says_nothing_or_something_broken(tmp_path):
  folder = epath.Path(tmp_path)
  assert read_largest_size(folder, "train") is None
  for broken in ("", "[1]", '{"train": 3}', '{"train": [1]}', '{"train": ["a", 2]}'):
    (folder / LARGEST_SIZES).write_text(broken)
    with pytest.raises(InputError, match=r"largest_sizes.json must hold a height and a width"):
      read_largest_size(folder, "train")
