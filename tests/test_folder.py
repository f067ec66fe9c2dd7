"""Somebody's own folder of images: every file is used or named."""

import hashlib
import io
import os
import pathlib
import unicodedata

import numpy as np
import pytest
from PIL import Image

from hornet_jax.data.pixels.decode import decode
from hornet_jax.data.preparing.folder import find_in_folders
from hornet_jax.data.preparing.own_images import check_and_split
from hornet_jax.errors import InputError


def encoded(mode="RGB", size=(6, 4), file_format="PNG", color=0, **options):
  buffer = io.BytesIO()
  Image.new(mode, size, color).save(buffer, file_format, **options)
  return buffer.getvalue()


def read_folder(path, eval_fraction=None, **how):
  return check_and_split(find_in_folders(path), eval_fraction, **how)


def write(path, content):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(content)
  return path


def rotated():
  """A JPEG of 6x4 pixels that says it is to be turned by 90 degrees."""
  exif = Image.Exif()
  exif[0x0112] = 6
  return encoded(file_format="JPEG", exif=exif)


def cut_short():
  buffer = io.BytesIO()
  Image.effect_noise((64, 64), 50).save(buffer, "JPEG")
  return buffer.getvalue()[:-200]


HOSTILE_GOOD = {
  "chats café/turned.jpg": rotated(),
  "chats café/16 bit.png": encoded("I;16", color=40_000),
  "chats café/a PNG.jpg": encoded(),
  "chats café/one pixel.png": encoded(size=(1, 1)),
  "chats café/deeper/still/grey.png": encoded("L"),
  "dogs/print.jpg": encoded("CMYK", file_format="JPEG"),
  "dogs/palette.gif": encoded("P", file_format="GIF"),
  "dogs/ünïcödé 犬 — #1?.webp": encoded(file_format="WEBP"),
}
HOSTILE_BAD = {
  "chats café/zero bytes.jpg": (b"", "no image format"),
  "chats café/cut.jpg": (cut_short(), "truncated"),
  "dogs/notes.txt": (b"good dogs", "no image format"),
  "dogs/.DS_Store": (b"\x00\x00", "hidden"),
  "dogs/._print.jpg": (encoded(), "hidden"),
  ".thumbnails/print.jpg": (encoded(), "hidden"),
  "dogs/.ipynb_checkpoints/print.jpg": (encoded(), "hidden"),
  "__MACOSX/print.jpg": (encoded(), "hidden"),
  "dogs/depth.tiff": (encoded("F", file_format="TIFF"), "no fixed range"),
  "stray.png": (encoded(), "not in a class folder"),
}


@pytest.fixture
def hostile(tmp_path):
  root = tmp_path / "my images"
  for name, content in HOSTILE_GOOD.items():
    write(root / name, content)
  for name, (content, _) in HOSTILE_BAD.items():
    write(root / name, content)
  (root / "empty").mkdir()
  (root / "dogs" / "loop").symlink_to(root)
  (root / "dogs" / "gone.png").symlink_to(root / "nowhere.png")
  (root / "dogs" / "linked.png").symlink_to(root / "stray.png")
  os.mkfifo(root / "dogs" / "pipe.png")
  return root


def test_every_file_of_a_hostile_folder_is_used_or_named(hostile):
  folder = read_folder(hostile)
  assert folder.class_names == ["chats café", "dogs", "empty"]
  used = {file.relative_to(hostile).as_posix() for s in folder.splits.values() for file, _ in s}
  assert used == {*HOSTILE_GOOD, "dogs/linked.png"}
  reasons = {path.relative_to(hostile).as_posix(): why for path, why in folder.left_out.items()}
  for name, (_, why) in HOSTILE_BAD.items():
    # Of a hidden folder the folder itself is named.
    named = {key for key in reasons if f"{name}/".startswith(f"{key}/")}
    assert len(named) == 1, name
    assert why in reasons.pop(named.pop()), name
  assert reasons == {
    "dogs/loop": "a link to a folder that it lies in",
    "dogs/gone.png": "no regular file, or a link to nothing",
    "dogs/pipe.png": "no regular file, or a link to nothing",
  }
  # At least one image of each class is held out, none of the empty one.
  assert folder.counts("test") == [1, 1, 0]
  assert folder.counts("train") == [4, 3, 0]
  for items in folder.splits.values():
    for file, label in items:
      assert file.relative_to(hostile).parts[0] == folder.class_names[label]


def test_pixels_of_odd_images():
  assert decode(rotated()).size == (4, 6)
  assert decode(encoded("I;16", color=40_000)).getpixel((0, 0)) == (156,) * 3  # 40000 / 257
  ramp = np.arange(0, 65536, 257, dtype=np.uint16)[None]
  buffer = io.BytesIO()
  Image.fromarray(ramp).save(buffer, "PNG")
  np.testing.assert_array_equal(np.asarray(decode(buffer.getvalue()))[0, :, 0], np.arange(256))


def test_split_by_folders(tmp_path):
  for split in ("train", "val", "test"):
    for name in ("b", "a"):
      write(tmp_path / split / name / "1.png", encoded())
  write(tmp_path / "test" / "c" / "1.png", encoded())
  write(tmp_path / "extra" / "x" / "1.png", encoded())
  folder = read_folder(tmp_path)
  assert list(folder.splits) == ["train", "validation", "test"]
  assert folder.class_names == ["a", "b", "c"]
  assert folder.counts("train") == [1, 1, 0]
  assert folder.counts("test") == [1, 1, 1]
  assert folder.left_out == {tmp_path / "extra": "a folder beside those of the splits"}
  assert "train, val, test" in folder.rule


def test_split_by_rule_is_stratified_and_does_not_move(tmp_path):
  for name, count in (("many", 40), ("few", 3), ("single", 1)):
    for i in range(count):
      write(tmp_path / name / f"{i}.png", encoded())
  folder = read_folder(tmp_path, 0.2)
  assert folder.class_names == ["few", "many", "single"]
  assert folder.counts("test") == [1, 8, 0]  # a single image is trained on
  held_out = {file.name for file, label in folder.splits["test"] if label == 1}
  by_digest = sorted(
    (f"{i}.png" for i in range(40)),
    key=lambda name: hashlib.sha256(f"many/{name}".encode()).hexdigest(),
  )
  assert held_out == set(by_digest[:8])


@pytest.mark.parametrize(
  ("files", "message"),
  [
    ([], "one folder a class"),
    (["1.png"], "one folder a class"),
    (["train/a/1.txt", "test/a/1.png"], "images to train on.*1 file left out"),
    (["train/a/1.png", "val/a/1.png", "valid/a/1.png"], "both 'validation'"),
    (["train/a/1.png", "holdout/a/1.png"], "folders of splits, train and val or test.*holdout"),
    (["val/a/1.png", "test/a/1.png"], "folders of splits, train and val or test"),
  ],
)
def test_what_is_no_image_folder(tmp_path, files, message):
  for name in files:
    write(tmp_path / name, encoded() if name.endswith("png") else b"text")
  with pytest.raises(InputError, match=message):
    read_folder(tmp_path)


def test_a_class_may_be_called_like_a_split(tmp_path):
  for name in ("train", "test", "bus"):
    for i in range(2):
      write(tmp_path / name / f"{i}.png", encoded())
  assert read_folder(tmp_path).class_names == ["bus", "test", "train"]


def test_train_alone_is_split_by_rule(tmp_path):
  for name in "ab":
    for i in range(4):
      write(tmp_path / "images" / "Training" / name / f"{i}.png", encoded())
  write(tmp_path / "images" / "readme.txt", b"text")
  folder = read_folder(tmp_path / "images", 0.5)
  assert folder.class_names == ["a", "b"]
  assert folder.counts("train") == folder.counts("test") == [2, 2]
  assert folder.left_out == {tmp_path / "images" / "readme.txt": "not in a class folder"}


def test_path_and_fraction_are_checked(tmp_path):
  for split in ("train", "val"):
    write(tmp_path / "split" / split / "a" / "1.png", encoded())
  with pytest.raises(InputError, match="not used where images are split already"):
    read_folder(tmp_path / "split", 0.2)
  with pytest.raises(InputError, match="must be a folder of class folders"):
    read_folder(tmp_path / "none")
  with pytest.raises(InputError, match="eval_fraction"):
    read_folder(tmp_path, 1.0)


def test_names_that_are_no_text(tmp_path):
  path = pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b"/cat/\xff.png"))
  write(path, encoded())
  write(tmp_path / "cat" / "2.png", encoded())
  assert sum(map(len, read_folder(tmp_path).splits.values())) == 2


def test_a_class_spelt_in_two_ways_is_one(tmp_path, caplog):
  """As folders copied from macOS and from Linux are."""
  spellings = [unicodedata.normalize(form, "café") for form in ("NFC", "NFD")]
  assert len(set(spellings)) == 2
  for k, name in enumerate([*spellings, "tea"]):
    for i in range(3):
      write(tmp_path / name / f"{k}{i}.png", encoded(color=i))
  with caplog.at_level("INFO", "hornet_jax"):
    folder = read_folder(tmp_path)
  assert folder.class_names == [spellings[0], "tea"]
  assert sorted(folder.counts("train")) == [2, 5]
  assert "2 folders, spelt alike in Unicode" in caplog.text


def test_one_image_a_class_is_too_few(tmp_path):
  for name in ("a", "b"):
    write(tmp_path / name / "0.png", encoded())
  with pytest.raises(InputError, match=r"expected some for test, .*two images of a class"):
    read_folder(tmp_path)
