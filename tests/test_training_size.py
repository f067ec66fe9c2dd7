"""How many images there are to train on is known of datasets that are not prepared."""

import pytest
from training_sizes import size_of

from hornet_jax.data.catalogue import DATASETS, Dataset
from hornet_jax.errors import InputError


@pytest.mark.parametrize(
  ("split", "images"),
  [
    ("", 1_281_167),
    ("train", 1_281_167),
    ("train[:1268000]", 1_268_000),
    ("train[1268000:]", 13_167),
    ("train[100:300]", 200),
  ],
)
def test_a_part_of_a_known_dataset(split, images, tmp_path):
  assert size_of("imagenet2012", split, tmp_path) == (images, 1000)


def test_what_may_lack_images_is_counted_once_it_is_there(data_dir, tmp_path, monkeypatch):
  assert size_of("imagenet22k/winter21", "train", tmp_path) == (13_153_500, 19_167)
  prepared = size_of("digits", "train", data_dir)
  published = Dataset("train", "test", num_examples=2000, num_classes=11, may_lack_images=True)
  monkeypatch.setitem(DATASETS, "digits", published)
  assert size_of("digits", "train", data_dir) == prepared
  assert size_of("digits", "train", tmp_path) == (2000, 11)


def test_other_splits_need_the_files(tmp_path):
  with pytest.raises(InputError, match="is not prepared"):
    size_of("imagenet2012", "train[:10%]", tmp_path)


def test_images_without_things_are_not_trained_on(tmp_path):
  assert size_of("coco", "", tmp_path) == (117_266, 80)
  assert size_of("coco", "", tmp_path, empty_images=True) == (118_287, 80)
  assert size_of("coco", "train[:1000]", tmp_path, empty_images=True) == (1000, 80)
  with pytest.raises(InputError, match="is not prepared"):  # which of them are, is not known
    size_of("coco", "train[:1000]", tmp_path)
