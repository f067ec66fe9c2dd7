"""Datasets of images and masks, as the command line makes them."""

import json

import numpy as np
import pytest
from pair_files import encode, photo, write, write_pair

from hornet_jax.cli.main import main
from hornet_jax.data.datasets import MASK, default_splits, open_split
from hornet_jax.data.views.masks import decode_mask
from hornet_jax.data.views.paired_view import PairedAugmentation
from hornet_jax.data.views.windows import Windows, scalings
from hornet_jax.errors import InputError
from hornet_jax.tasks import Segmentation

COLOURS = {(128, 64, 128): "Straße", (0, 0, 255): "空", (0, 0, 0): "ignored"}
PALETTE = np.random.default_rng(0).permutation(768).astype(np.uint8).tolist()


def prepare(tmp_path, *arguments):
  return main(["prepare", "pairs", *map(str, arguments), f"--data_dir={tmp_path / 'data'}"])


def stored(tmp_path, name, split):
  """Name of the file without ending -> (image as stored, mask)."""
  opened = open_split(name, split, str(tmp_path / "data"), MASK)
  return {
    example["file_name"].decode().rpartition("/")[2].partition(".")[0]: (
      example["image"],
      decode_mask(example["mask"]),
    )
    for example in opened.source
  }


def test_from_folders_to_exact_masks(tmp_path, capfd):
  """Colours by a table; every pixel, the bytes of the images, sizes, names and what is left out."""
  rng = np.random.default_rng(0)
  written = {}
  for split, count in (("train", 3), ("val", 2)):
    for k in range(count):
      codes = rng.integers(0, len(COLOURS), (5 + k, 7 + 2 * k))
      mask = np.array(list(COLOURS), np.uint8)[codes]
      image, _ = write_pair(tmp_path / "mine", split, f"{split}_{k}", encode(mask), image=b"")
      turn = 6 if k == 1 else None
      shape = codes.shape[::-1] if turn else codes.shape
      written[image.stem] = (photo(*shape, seed=k, turn=turn), np.where(codes == 2, 255, codes))
      write(image, written[image.stem][0])
  bad = np.full((4, 6, 3), 9, np.uint8)
  write_pair(tmp_path / "mine", "train", "bad", encode(bad))
  table = write(
    tmp_path / "classes.csv",
    b"name,r,g,b\n"
    + "".join(f"{name},{r},{g},{b}\n" for (r, g, b), name in COLOURS.items()).encode(),
  )
  assert prepare(tmp_path, f"--path={tmp_path / 'mine'}", "--name=mine", f"--classes={table}") == 0
  printed = capfd.readouterr().out
  path = tmp_path / "data" / "mine" / "1.0.0"
  for line in (
    "split by the folders train, validation",
    "2 classes: those of the table",
    "turned as their EXIF data say: 2 images, whose masks must show what is seen then",
    f"left out, 2 in all, every one named in {path / 'left_out.txt'}:",
    f"  {tmp_path}/mine/masks/train/bad.png: the mask has the colour 9,9,9 at 24 pixels, which is ",
    "what is no class gets one by a row of --classes=FILE.csv, or counts for none by ",
    f"in {path}; to train on it: --config.data.dataset=mine and a config that learns from masks, ",
  ):
    assert printed.count(f"\n{line}") == 1 or printed.startswith(line), line
  assert "bad.jpg\tits mask is left out" in (path / "left_out.txt").read_text()

  assert default_splits("mine", str(tmp_path / "data")) == ("train", "validation")
  examples = stored(tmp_path, "mine", "train") | stored(tmp_path, "mine", "validation")
  assert examples.keys() == written.keys()
  for name, (image, classes) in written.items():
    assert examples[name][0] == image, name
    np.testing.assert_array_equal(examples[name][1], classes, name)
  opened = open_split("mine", "train[:50%]", str(tmp_path / "data"))
  assert opened.class_names == ["Straße", "空"]
  assert opened.largest_size == (7, 11)
  task = Segmentation(
    2,
    PairedAugmentation(16, 16, 16),
    Windows(16, 10, scalings((16, 16)), (0, 0, 0)),
    largest_size=opened.largest_size,
  )
  example = opened.source[0]
  height, width = decode_mask(example["mask"]).shape
  assert task.load(example, None)["size"].tolist() == [height, width]  # turned or not

  assert prepare(tmp_path, f"--path={tmp_path / 'mine'}", "--name=mine") == 2
  assert "`name` must be new: 'mine' is in" in capfd.readouterr().err


def test_two_folders_of_palettes_and_16_bits(tmp_path, capfd):
  values = np.array([[0, 5, 255], [7, 5, 0]], np.uint8)
  wide = np.array([[300, 5], [7, 0]], np.uint16)
  for k, mask in enumerate((encode(values, palette=PALETTE), encode(wide))):
    write(tmp_path / "photos" / f"{k}.png", photo(2, 3 - k, file_format="PNG"))
    write(tmp_path / "marked" / f"{k}.png", mask)
  folders = [f"--images={tmp_path / 'photos'}", f"--masks={tmp_path / 'marked'}"]
  assert prepare(tmp_path, *folders, "--name=mine", "--zero_is_ignored", "--ignore=255,7") == 0
  printed = capfd.readouterr().out
  assert "2 classes: the values of the masks, 5, 300; of no class: 0, 7, 255\n" in printed
  assert "classes without a pixel in " in printed
  masks = stored(tmp_path, "mine", "train") | stored(tmp_path, "mine", "test")
  np.testing.assert_array_equal(masks["0"][1], [[255, 0, 255], [255, 0, 255]])
  np.testing.assert_array_equal(masks["1"][1], [[1, 0], [255, 255]])


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["--path=."], "needs --name, of the dataset, and --path"),
    (["--name=mine"], "or two folders by --images and --masks"),
    (["--name=mine", "--path=.", "--images=."], "or two folders"),
    (["--name=mine", "--images=."], "needs both --images and --masks"),
    (["--name=Mine", "--path=."], "lower-case letters"),
    (["--name=ade20k", "--path=."], "must be new: 'ade20k' is a dataset of its own"),
    (["--name=mine", "--path=/none"], "must be a folder of images and masks: /none is none"),
    (["--name=mine", "--path=.", "--ignore=x"], "expected whole numbers such as 255 or 0,255, got"),
    (["--name=mine", "--path=.", "--generated"], "--generated belongs to imagenet2012 and"),
    (["--name=mine", "--path=.", "--channels=1"], "--channels belongs to folder"),
  ],
)
def test_wrong_arguments_are_one_line(arguments, message, tmp_path, capfd):
  assert prepare(tmp_path, *arguments) == 2
  captured = capfd.readouterr().err.strip()
  assert captured.count("\n") == 0
  with pytest.raises(InputError, match=message):
    raise InputError(captured)


@pytest.mark.slow
def test_it_is_trained_on(tmp_path, capfd):
  """A few steps on a dataset of one's own, by the command line."""
  for split in ("train", "val"):
    for k in range(8):
      mask = np.zeros((40, 50), np.uint8)
      mask[k * 2 : k * 2 + 20, 10:30] = 1
      write_pair(tmp_path / "mine", split, str(k), mask)
  assert prepare(tmp_path, f"--path={tmp_path / 'mine'}", "--name=mine") == 0
  settings = {
    "data.dataset": "mine",
    "data.data_dir": tmp_path / "data",
    "data.image_size": 32,
    "data.batch_size": 8,
    "data.eval_batch_size": 8,
    "segmentation.channels": 8,
    "segmentation.auxiliary_channels": 4,
    "epochs": 2.0,
    "optimizer.warmup_epochs": 0.5,
    "eval.every_epochs": 2.0,
  }
  overrides = [f"--config.{key}={value}" for key, value in settings.items()]
  config = "--config=shapes_segmentation:variant=nano_7x7"
  assert main(["train", config, *overrides, f"--workdir={tmp_path / 'run'}"]) == 0
  result = json.loads((tmp_path / "run" / "result.json").read_text())
  assert result["step"] == 2
