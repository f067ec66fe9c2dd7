"""TFDS's own imagenet2012 from archives of the real format, and a run on it."""

import collections
import io
import json
import pathlib
import shutil

import pytest
from etils import epath
from PIL import Image
from small_run import train_a_little

from hornet_jax.cli.main import main
from hornet_jax.data.datasets import open_split
from hornet_jax.data.imagenet_classes import synsets, validation_synsets
from hornet_jax.data.pixels.decode import decode
from hornet_jax.data.preparing.imagenet import imagenet_archives
from hornet_jax.data.preparing.imagenet.generated import write_imagenet_archives
from hornet_jax.data.preparing.imagenet.imagenet_archives import (
  NUM_IMAGES,
  TRAIN_ARCHIVE,
  VALIDATION_ARCHIVE,
  check_archives,
)
from hornet_jax.errors import InputError

_ORIENTATION = 0x0112  # in EXIF


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
  folder = tmp_path_factory.mktemp("archives")
  write_imagenet_archives(folder)
  return folder


@pytest.fixture(scope="module")
def prepared(archives, tmp_path_factory):
  data_dir = tmp_path_factory.mktemp("data")
  arguments = [f"--archives={archives}", f"--data_dir={data_dir}", "--partial"]
  assert main(["prepare", "imagenet2012", *arguments]) == 0
  return str(data_dir)


def test_every_image_is_there_under_its_class(prepared):
  train = open_split("imagenet2012", "train", prepared)
  validation = open_split("imagenet2012", "validation", prepared)
  assert (len(train.source), len(validation.source)) == (200, 50)
  assert train.class_names == synsets()
  odd = collections.Counter()
  for example in train.source:
    assert example["file_name"].decode().startswith(train.class_names[example["label"]])
    picture = Image.open(io.BytesIO(example["image"]))
    turned = picture.getexif().get(_ORIENTATION, 1)
    odd[picture.format, picture.mode, turned] += 1
    assert example["file_name"].endswith(b".JPEG")
    assert decode(example["image"]).mode == "RGB"
  assert odd == {
    ("JPEG", "RGB", 1): 196,
    ("JPEG", "L", 1): 1,
    ("JPEG", "CMYK", 1): 1,
    ("JPEG", "RGB", 6): 1,
    ("PNG", "RGB", 1): 1,
  }
  labels = validation_synsets()
  for example in validation.source:
    number = int(example["file_name"][-13:-5])
    assert validation.class_names[example["label"]] == labels[number - 1]


@pytest.mark.slow
def test_a_run_from_the_command_line(prepared, tmp_path, capfd):
  train_a_little("imagenet1k.py:variant=base_gf", prepared, tmp_path, capfd)

  # The suite evaluates the same weights on the same images.
  assert main(["evaluate", f"--workdir={tmp_path}", "--json"]) == 0
  expected = json.loads(capfd.readouterr().out)
  suite = ["evaluate", "--suite", f"--workdir={tmp_path}", "--sets=val", "--json"]
  assert main([*suite, f"--table={tmp_path}/suite.csv"]) == 0
  rows = {row["weights"]: row for row in json.loads(capfd.readouterr().out)}
  assert rows.keys() == {"ema", "raw"}
  for weights, row in rows.items():
    assert row["loss"] == pytest.approx(expected[weights]["loss"], rel=1e-6)
  assert abs(rows["ema"]["loss"] - rows["raw"]["loss"]) > 1e-5


def test_preparing_again_tells_what_it_did_not_do(prepared, tmp_path, monkeypatch, capfd):
  where = f"--data_dir={prepared}"
  path = f"{prepared}/imagenet2012/5.1.0"
  assert main(["prepare", "imagenet2012", f"--archives={tmp_path}", where, "--partial"]) == 0
  printed = capfd.readouterr().out
  assert f"already prepared in {path}: --archives not read\n" in printed
  assert "imagenet2012/train: 200 images, 1,000 classes" in printed
  assert main(["prepare", "imagenet2012", "--generated", where]) == 0
  printed = capfd.readouterr().out
  assert f"already prepared in {path}, not from generated images: --generated not used" in printed
  assert "generated images, not ImageNet" not in printed
  for arguments in ([], [f"--archives={tmp_path}"]):
    assert main(["prepare", "imagenet2012", where, *arguments]) == 2
    message = capfd.readouterr().err
    assert f"{path} must have the 1,281,167 images of imagenet2012/train: it has 200. " in message
    assert "--partial where fewer are meant" in message
  monkeypatch.setitem(NUM_IMAGES, "train", 200)
  assert main(["prepare", "imagenet2012", where]) == 2
  assert "the 50,000 images of imagenet2012/validation: it has 50. " in capfd.readouterr().err
  monkeypatch.setitem(NUM_IMAGES, "validation", 50)
  assert main(["prepare", "imagenet2012", where]) == 0


def test_generated_images_are_told_of_whenever_prepared(tmp_path, capfd):
  where = f"--data_dir={tmp_path / 'data'}"
  for arguments in (["--generated"], ["--generated"], [], ["--archives=none", "--partial"]):
    assert main(["prepare", "imagenet2012", where, *arguments]) == 0
    printed = capfd.readouterr().out
    assert "generated images, not ImageNet\n" in printed
    assert ("--archives not read" in printed) == ("--partial" in arguments)
    assert "--generated" not in printed
  assert main(["prepare", "imagenet2012", where, "--archives=none"]) == 2
  message = capfd.readouterr().err
  assert "imagenet2012/train: it has 200, generated ones. Hint: choose another --dat" in message


def test_the_published_numbers():
  assert NUM_IMAGES == {"train": 1_281_167, "validation": 50_000}


def test_archives_are_checked_before_the_work(archives, tmp_path, monkeypatch):
  target = epath.Path(tmp_path / "data")
  with pytest.raises(InputError, match=f"{TRAIN_ARCHIVE} must hold 1,281,167 images: got 200"):
    check_archives(archives, target, partial=False)
  with monkeypatch.context() as patch:
    patch.setitem(imagenet_archives._COUNTS, TRAIN_ARCHIVE, 200)
    with pytest.raises(InputError, match=f"{VALIDATION_ARCHIVE} must hold 50,000 images: got 50"):
      check_archives(archives, target, partial=False)
    patch.setitem(imagenet_archives._COUNTS, VALIDATION_ARCHIVE, 50)
    check_archives(archives, target, partial=False)
  with pytest.raises(InputError, match=f"{TRAIN_ARCHIVE}, {VALIDATION_ARCHIVE} not in"):
    check_archives(tmp_path, target, partial=True)
  for name in (TRAIN_ARCHIVE, VALIDATION_ARCHIVE):
    shutil.copy(archives / name, tmp_path / name)
  cut = (archives / TRAIN_ARCHIVE).read_bytes()[:-60_000]
  (tmp_path / TRAIN_ARCHIVE).write_bytes(cut)
  with pytest.raises(InputError, match="must be a whole tar archive"):
    check_archives(tmp_path, target, partial=True)
  usage = collections.namedtuple("usage", "total used free")(1, 1, 1000)
  monkeypatch.setattr(imagenet_archives.shutil, "disk_usage", lambda path: usage)
  with pytest.raises(InputError, match=r"must have room.*expected 0\.\d GB at .*, got 0\.0 GB"):
    check_archives(archives, target, partial=True)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["prepare", "imagenet2012"], "is not prepared.*prepare imagenet2012 --archives=DIR"),
    (["prepare", "imagenet2012", "--generated"], "needs a --data_dir of its own"),
    (["prepare", "digits", "--archives=."], "--archives belongs to imagenet2012"),
    (["train", "--config=configs/imagenet1k.py"], "prepare imagenet2012 --archives=DIR"),
  ],
)
def test_wrong_arguments_are_one_line(arguments, message, tmp_path, monkeypatch, capfd):
  monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
  monkeypatch.chdir(pathlib.Path(__file__).parents[1])
  assert main(arguments) == 2
  captured = capfd.readouterr().err.strip()
  with pytest.raises(InputError, match=message):
    raise InputError(captured.splitlines()[-1])
