"""ADE20K from its archive, from what that unpacks to, or generated."""

import io
import shutil
import zipfile

import numpy as np
import pytest
from etils import epath
from pair_files import encode, photo, write
from PIL import Image
from training_sizes import size_of

from hornet_jax.cli.main import main
from hornet_jax.data.datasets import MASK, open_split
from hornet_jax.data.pixels.decode import UndecodableImageError, decode_pixels
from hornet_jax.data.preparing.from_archives import is_generated
from hornet_jax.data.preparing.masks.ade20k import ARCHIVE, CLASSES_FILE, Ade20k, read_class_names
from hornet_jax.data.preparing.masks.generated_ade20k import write_ade20k_folder
from hornet_jax.data.preparing.shapes import make_scene
from hornet_jax.data.views.masks import decode_mask
from hornet_jax.errors import InputError

HEADINGS = "Idx\tRatio\tTrain\tVal\tStuff\tName\n"
CLASSES = f"{HEADINGS}1\t0.1\t11\t2\t1\twall\n2  \t0.2\t3\t4\t0\tfloor, flooring \n"
ROOT = "ADEChallengeData2016"


def write_release(folder):
  """Two pairs to train on and one to evaluate on, and much that is wrong."""
  root = folder / ROOT
  write(root / CLASSES_FILE, CLASSES.encode())
  mask = np.array([[0, 1, 2], [2, 2, 1]], np.uint8)
  for split, name in (("training", "a"), ("training", "b"), ("validation", "c")):
    write(root / "images" / split / f"{name}.jpg", photo(2, 3))
    write(root / "annotations" / split / f"{name}.png", encode(mask))
  write(root / "images" / "training" / "lonely.jpg", photo(2, 3))
  write(root / "annotations" / "validation" / "alone.png", encode(mask))
  write(root / "sceneCategories.txt", b"")
  write(root / "images" / "validation" / "c.gif", b"")
  for name, image, bad in (
    ("damaged", photo(64, 64)[:-300], np.ones((64, 64), np.uint8)),
    ("larger", photo(3, 3), mask),
    ("third", photo(2, 3), mask + 1),
  ):
    write(root / "images" / "training" / f"{name}.jpg", image)
    write(root / "annotations" / "training" / f"{name}.png", encode(bad))
  return root


def zipped(root, archive):
  with zipfile.ZipFile(archive, "w") as file:
    for path in sorted(root.rglob("*")):
      if path.is_file():
        file.write(path, f"{ROOT}/{path.relative_to(root)}")
    file.writestr("../evil.jpg", b"")
  return archive


LEFT_OUT = {
  "annotations/validation/alone.png": "a mask without an image",
  "images/training/lonely.jpg": "an image without a mask",
  "images/validation/c.gif": "neither image nor mask",
  "sceneCategories.txt": "neither image nor mask",
}


@pytest.mark.parametrize("kind", ["folder above", "folder", "archive", "folder of the archive"])
def test_reads_the_archive_and_what_it_unpacks_to(tmp_path, kind):
  root = write_release(tmp_path / "unpacked")
  place = {"folder above": root.parent, "folder": root}.get(kind)
  if place is None:
    archive = zipped(root, tmp_path / ARCHIVE)
    shutil.rmtree(root.parent)
    place = archive if kind == "archive" else tmp_path
  source = Ade20k(place)
  assert source.class_names == ["wall", "floor, flooring"]
  assert source.pairs == {"train": ["a", "b", "damaged", "larger", "third"], "validation": ["c"]}
  left_out = {name.removeprefix(f"{ROOT}/"): reason for name, reason in source.left_out}
  if source.files:
    assert left_out.pop("../evil.jpg") == "a name that leads outside, or no regular file"
  assert left_out == LEFT_OUT
  image, classes = source.read("train", "a")
  assert image == photo(2, 3)
  np.testing.assert_array_equal(classes, [[255, 0, 1], [1, 1, 0]])
  for name, message in (
    ("damaged", "truncated"),
    ("larger", r"the mask has height and width \[2, 3\], and its image \[3, 3\]"),
    ("third", "the mask has the value 3 at 3 pixels, which is no class"),
  ):
    with pytest.raises(UndecodableImageError, match=message):
      source.read("train", name)
  source.check_count(partial=True)
  with pytest.raises(InputError, match=r"20,210 images with masks of train: got 5 in .*--partial"):
    source.check_count(partial=False)


def test_what_is_not_there_is_told_in_a_line(tmp_path):
  with pytest.raises(
    InputError, match=r"must hold ADEChallengeData2016.zip, or the folder .*/none. Hint"
  ):
    Ade20k(tmp_path / "none")
  with pytest.raises(InputError, match="found no image with a mask"):
    Ade20k(tmp_path)
  root = write_release(tmp_path)
  (root / CLASSES_FILE).unlink()
  with pytest.raises(InputError, match=r"must hold objectInfo150.txt, which names the classes: it"):
    Ade20k(tmp_path)
  write(root / CLASSES_FILE, CLASSES.encode())
  archive = zipped(root, tmp_path / ARCHIVE)
  archive.write_bytes(archive.read_bytes()[:-100])
  with pytest.raises(InputError, match="must be a whole zip archive"):
    Ade20k(archive)
  for text, message in (
    (CLASSES.replace("2  ", "3"), "line 3: expected the number 2, four more and a name, got '3"),
    (CLASSES.replace("wall", ""), r"line 2: .* got '1\\t0.1"),
    (CLASSES.replace("floor, flooring", "wall"), "different names: got 2"),
    ("", "got 0"),
  ):
    with pytest.raises(InputError, match=message):
      read_class_names(text.encode())


def test_generated_scenes_are_like_the_release(tmp_path):
  write_ade20k_folder(tmp_path, 6, 2)
  source = Ade20k(tmp_path)
  assert not source.left_out
  assert {split: len(names) for split, names in source.pairs.items()} == {
    "train": 6,
    "validation": 2,
  }
  assert source.class_names == [
    *("background, made up", "circle, made up", "box, made up", "triangle, made up")
  ]
  sizes, kinds = set(), set()
  for name in source.pairs["train"]:
    image, classes = source.read("train", name)
    sizes.add(classes.shape)
    kinds.add(Image.open(io.BytesIO(image)).mode)
    assert (classes[:, 0] == 255).all()
  assert len(sizes) == 6
  assert kinds == {"L", "RGB"}
  image, classes = source.read("train", "ADE_train_00000003")  # turned, of two scenes side by side
  scenes = [make_scene(0, number) for number in (4, 5)]
  height, width = classes.shape
  drawn = np.concatenate([scene.image for scene in scenes], 1)[:height, :width]
  assert np.abs(decode_pixels(image)[..., :3] - drawn.astype(int)).mean() < 15
  drawn = np.concatenate([scene.mask for scene in scenes], 1)[:height, 8:width]
  np.testing.assert_array_equal(classes[:, 8:], drawn)


def test_generated_from_the_command_line(tmp_path, capfd):
  data_dir = str(tmp_path / "data")
  assert size_of("ade20k", "", data_dir) == (20_210, 150)  # planned before it is there
  assert main(["prepare", "ade20k", "--generated", f"--data_dir={data_dir}"]) == 0
  printed = capfd.readouterr().out
  assert "generated images, not ADE20K\n" in printed
  assert "ade20k/train: 64 images, 4 classes\n" in printed
  assert "ade20k/validation: 16 images, 4 classes\n" in printed
  assert size_of("ade20k", "", data_dir) == (64, 4)
  split = open_split("ade20k", "train", data_dir, MASK)
  write_ade20k_folder(tmp_path / "again")
  source = Ade20k(tmp_path / "again")
  for example in split.source:
    name = example["file_name"].decode().removesuffix(".jpg")
    image, classes = source.read("train", name)
    assert example["image"] == image
    np.testing.assert_array_equal(decode_mask(example["mask"]), classes)
  shapes = [source.read("train", name)[1].shape for name in source.pairs["train"]]
  assert split.largest_size == (max(s[0] for s in shapes), max(s[1] for s in shapes))
  assert main(["prepare", "ade20k", f"--data_dir={data_dir}", "--archives=x"]) == 2
  assert "it has 64, generated ones. Hint" in capfd.readouterr().err


def test_a_partial_archive_from_the_command_line(tmp_path, capfd):
  """What is damaged, unmatched or surplus is named; the rest is the dataset."""
  archive = zipped(write_release(tmp_path / "unpacked"), tmp_path / ARCHIVE)
  arguments = ["prepare", "ade20k", f"--archives={archive}", f"--data_dir={tmp_path / 'data'}"]
  assert main(arguments) == 2
  assert "20,210 images with masks of train: got 5" in capfd.readouterr().err
  assert main([*arguments, "--partial"]) == 0
  printed = capfd.readouterr().out
  path = tmp_path / "data" / "ade20k" / "1.0.0"
  assert not is_generated(epath.Path(path))
  assert "ade20k/train: 2 images, 2 classes\n" in printed
  assert f"left out, 11 in all, every one named in {path / 'left_out.txt'}:\n" in printed
  for line in (
    "train/damaged.jpg: image file is truncated",
    "train/third.png: the mask has the value 3",
    f"{ROOT}/images/validation/c.gif: neither image nor mask",
  ):
    assert f"\n  {line}" in printed, line
  split = open_split("ade20k", "validation", str(tmp_path / "data"))
  assert split.class_names == ["wall", "floor, flooring"]
  assert split.largest_size == (2, 3)
  [example] = split.source
  assert decode_mask(example["mask"]).tolist() == [[255, 0, 1], [1, 1, 0]]
