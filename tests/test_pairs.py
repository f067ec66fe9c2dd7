"""Somebody's own images and masks: every file is used or named."""

import hashlib

import numpy as np
import pytest
from pair_files import encode, photo, write, write_pair

from hornet_jax.data.preparing.found_images import ALL
from hornet_jax.data.preparing.masks.class_table import ClassTable
from hornet_jax.data.preparing.masks.find_pairs import find_in_two_folders, find_pairs
from hornet_jax.data.preparing.masks.own_pairs import check_and_split_pairs
from hornet_jax.errors import InputError

MASK = np.array([[0, 1, 2, 0, 1, 2]] * 4, np.uint8)


def names(pairs):
  return [image.stem for image, _ in pairs]


@pytest.mark.parametrize("masks", ["masks", "annotations", "labels"])
def test_folders_of_splits(tmp_path, masks):
  for split, name in (("training", "b"), ("training", "deep/a"), ("val", "c.d"), ("test", "e")):
    write_pair(tmp_path, split, name, MASK, masks)
  (tmp_path / "elsewhere").mkdir()
  (tmp_path / "images" / "test").rename(tmp_path / "elsewhere" / "of_test")
  (tmp_path / "images" / "test").symlink_to(tmp_path / "elsewhere" / "of_test")
  lonely, _ = write_pair(tmp_path, "val", "lonely", MASK, masks)
  (tmp_path / masks / "val" / "lonely.png").unlink()
  other = write(tmp_path / masks / "val" / "other.png", encode(MASK))
  twice = [write_pair(tmp_path, "val", "twice", MASK, masks)[0]]
  twice.append(write(tmp_path / "images" / "val" / "twice.png", photo()))
  stray = write(tmp_path / "images" / "readme.txt", b"")
  hidden = write(tmp_path / masks / "val" / ".DS_Store", b"")
  beside = write(tmp_path / "names.txt", b"")
  found = find_pairs(tmp_path)
  assert {split: names(pairs) for split, pairs in found.splits.items()} == {
    "train": ["b", "a"],
    "validation": ["c.d"],
    "test": ["e"],
  }
  assert all(image.stem == mask.stem for pairs in found.splits.values() for image, mask in pairs)
  assert found.rule == "by the folders train, validation, test"
  assert found.left_out == {
    lonely: "an image without a mask",
    other: "a mask without an image",
    **dict.fromkeys(twice, "of the same name as others: twice.jpg, twice.png"),
    tmp_path / masks / "val" / "twice.png": "a mask without an image",
    stray: "not in a folder of a split",
    hidden: "hidden",
    beside: "beside the images and masks",
    tmp_path / "elsewhere": "beside the images and masks",
  }


def test_two_folders_without_splits(tmp_path):
  for k in range(20):
    write(tmp_path / "photos" / f"{k}.jpg", photo(seed=k))
    write(tmp_path / "colours" / f"{k}.png", encode(MASK))
  found = find_in_two_folders(tmp_path / "photos", tmp_path / "colours")
  assert list(found.splits) == [ALL]
  own = check_and_split_pairs(found, eval_fraction=0.25)
  assert {split: len(pairs) for split, pairs in own.splits.items()} == {"train": 15, "test": 5}
  assert own.rule.startswith("by rule: the 0.25 of the images")
  # By their own names, so that no listing moves them.
  order = sorted(range(20), key=lambda k: hashlib.sha256(f"{k}.jpg".encode()).digest())
  assert sorted(names(own.splits["test"])) == sorted(str(k) for k in order[:5])


def city(folder, split, name, mask, suffix="labelIds"):
  image = photo(*mask.shape, file_format="PNG")
  write(folder / "leftImg8bit" / split / "ulm" / f"ulm_{name}_leftImg8bit.png", image)
  return write(folder / "gtFine" / split / "ulm" / f"ulm_{name}_gtFine_{suffix}.png", encode(mask))


def test_cityscapes(tmp_path):
  ids = np.array([[0, 7, 33], [3, 11, 9]], np.uint8)
  for split in ("train", "val", "test"):
    mask = city(tmp_path, split, "1", ids)
  for ending in ("color.png", "instanceIds.png", "polygons.json", "labelTrainIds.png"):
    write(mask.with_name(f"ulm_1_gtFine_{ending}"), encode(ids))
  odd = write(mask.with_name("ulm_2_gtFine.png"), encode(ids))
  found = find_pairs(tmp_path)
  assert {split: len(pairs) for split, pairs in found.splits.items()} == {
    "train": 1,
    "validation": 1,
    "test": 1,
  }
  assert found.note == (
    "1 file *_gtFine_color.png, 1 file *_gtFine_instanceIds.png, "
    "1 file *_gtFine_labelTrainIds.png, 1 file *_gtFine_polygons.json"
  )
  assert found.left_out == {odd: "no name that ends in _gtFine_labelIds.png"}
  own = check_and_split_pairs(found)
  assert own.table.names[:3] == ["road", "sidewalk", "building"]
  assert own.pixels("train") == {0: 1, 2: 1, 18: 1, 255: 3}
  assert own.classes_rule == "those of the table"


def test_cityscapes_of_train_ids(tmp_path):
  for split in ("train", "val"):
    city(tmp_path, split, "1", np.array([[0, 18, 255]], np.uint8), "labelTrainIds")
  own = check_and_split_pairs(find_pairs(tmp_path))
  assert own.pixels("validation") == {0: 1, 18: 1, 255: 1}


@pytest.mark.parametrize(
  ("files", "message"),
  [
    ([], "must hold one folder `images` and one `masks`, .*: got none of them in .*--images"),
    (["images/a.jpg", "masks/a.png", "labels/a.png"], "got images, masks, labels"),
    (
      ["images/a.jpg", "masks/b.png"],
      r"the same names, .*: .* got no pair in .* \(an image: a.jpg, a mask: b.png\)",
    ),
    (["images/train/a.jpg", "masks/a.png"], "got train of images and none of masks"),
    (["images/val/a.jpg", "masks/val/a.png"], "expected a split train, got validation"),
    (["images/val/a.jpg", "images/valid/b.jpg", "masks/val/a.png"], "are both 'validation'"),
  ],
)
def test_layouts_that_do_not_fit_are_one_line(tmp_path, files, message):
  for file in files:
    write(tmp_path / file, photo())
  with pytest.raises(InputError, match=message) as raised:
    find_pairs(tmp_path)
  assert "\n" not in str(raised.value)


def test_folders_that_are_none_or_one(tmp_path):
  with pytest.raises(InputError, match="`path` must be a folder"):
    find_pairs(tmp_path / "none")
  with pytest.raises(InputError, match="`masks` must be a folder"):
    find_in_two_folders(tmp_path, tmp_path / "none")
  (tmp_path / "masks").mkdir()
  for masks in (tmp_path, tmp_path / "masks"):
    with pytest.raises(InputError, match="two folders, none in the other"):
      find_in_two_folders(tmp_path, masks)


def test_what_is_wrong_with_a_pair_is_named(tmp_path):
  turned = photo(4, 6, turn=6)  # seen as 6x4
  pairs = {
    "fine": (None, MASK, ""),
    "turned": (turned, MASK.T.copy(), ""),
    "small": (
      None,
      encode(MASK[:3]),
      r"the mask has height and width [3, 6], and its image [4, 6]",
    ),
    "unturned": (
      turned,
      MASK,
      "the mask has height and width [4, 6], and its image [6, 4], turned as its EXIF data say: "
      "the mask must be turned as well",
    ),
    "jpeg": (
      None,
      encode(MASK, file_format="JPEG"),
      "the mask is a JPEG, whose values are not those ",
    ),
    "cut": (photo(64, 64)[:-300], np.zeros((64, 64), np.uint8), "truncated"),
    "cut_mask": (photo(64, 64), encode(np.eye(64, dtype=np.uint8))[:-60], "the mask: "),
  }
  files = {
    name: write_pair(tmp_path, "", name, mask, image=image)
    for name, (image, mask, _) in pairs.items()
  }
  write_pair(tmp_path, "", "fine_too", MASK)
  np.save(tmp_path / "images" / "array.npy", np.zeros((4, 6, 3), np.uint8))
  write(tmp_path / "masks" / "array.png", encode(MASK))
  own = check_and_split_pairs(find_pairs(tmp_path))
  used = {image.stem for split in own.splits.values() for image, _ in split}
  assert used == {"array", "fine", "fine_too", "turned"}
  assert own.num_turned == 1
  for name, (_, _, reason) in pairs.items():
    if reason:
      image, mask = files[name]
      culprit, other = (mask, image) if reason.startswith("the mask") else (image, mask)
      assert reason in own.left_out[culprit], name
      assert own.left_out[other] == f"its {'mask' if culprit == mask else 'image'} is left out"
  largest = own.largest_sizes.of_split
  assert max(size[0] for size in largest.values()) == 6  # as turned
  assert max(size[1] for size in largest.values()) == 6


def own_pairs(tmp_path, *masks, **how):
  for k, mask in enumerate(masks):
    write_pair(tmp_path, "", str(k), mask)
  return check_and_split_pairs(find_pairs(tmp_path), **how)


def test_classes_are_the_values_that_are_found(tmp_path):
  masks = [MASK, np.full((4, 6), 200, np.uint8), np.full((4, 6), 255, np.uint8)]
  own = own_pairs(tmp_path, *masks)
  assert own.table.names == ["0", "1", "2", "200"]
  assert own.classes_rule == "the values of the masks, 0, 1, 2, 200; of no class: 255"
  found = find_pairs(tmp_path)
  own = check_and_split_pairs(found, ignore=[200], zero_is_ignored=True)
  assert own.table.names == ["1", "2", "255"]
  assert own.classes_rule == "the values of the masks, 1, 2, 255; of no class: 0, 200"
  assert own.table.look_up(MASK.astype(np.int32))[0].tolist() == [255, 0, 1, 255, 0, 1]
  together = {k: n for s in own.splits for k, n in own.pixels(s).items()}
  assert together.keys() <= {0, 1, 2, 255}


def test_black_and_white_are_two_classes(tmp_path):
  mask = np.where(MASK > 0, 255, 0).astype(np.uint8)
  own = own_pairs(tmp_path, mask, mask)
  assert own.table.names == ["0", "255"]
  own = check_and_split_pairs(find_pairs(tmp_path), ignore=[255])
  assert own.table.names == ["0"]


def test_values_without_a_class_are_named(tmp_path):
  table = ClassTable(["zero", "one"], {0: 0, 1: 1})
  fine = np.where(MASK == 1, 1, 0).astype(np.uint8)
  own = own_pairs(tmp_path, fine, MASK, fine, table=table)
  assert own.left_out == {
    tmp_path / "masks" / "1.png": "the mask has the value 2 at 8 pixels, which is no class",
    tmp_path / "images" / "1.jpg": "its mask is left out",
  }
  own = check_and_split_pairs(find_pairs(tmp_path), table, ignore=[2])
  assert not own.left_out
  for how, message in (
    ({"ignore": [1]}, "got 1, which is 'one'"),
    ({"zero_is_ignored": True}, "got 0, which is 'zero'"),
    ({"eval_fraction": 1.0}, "must be > 0 and < 1"),
  ):
    with pytest.raises(InputError, match=message):
      check_and_split_pairs(find_pairs(tmp_path), table, **how)


def test_nothing_to_train_or_evaluate_on(tmp_path):
  with pytest.raises(InputError, match=r"for test: found none .* two images are the least"):
    own_pairs(tmp_path / "one", MASK)
  jpeg = encode(MASK, file_format="JPEG")
  with pytest.raises(InputError, match=r"2 pairs left out, the first as: the mask is a JPEG"):
    own_pairs(tmp_path / "jpegs", jpeg, jpeg)
  colours = encode(np.dstack([MASK, MASK, MASK + 1]))
  with pytest.raises(InputError, match=r"the first as: the mask has colours, such as 0,0,1"):
    own_pairs(tmp_path / "colours", colours, colours)
  many = np.arange(300, dtype=np.uint16).reshape(15, 20)
  with pytest.raises(InputError, match="1 to 255 different values that count: got 299"):
    own_pairs(tmp_path / "many", many, many)
