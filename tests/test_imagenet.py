"""TFDS's own imagenet2012 from archives of the real format, and a run on it."""

import collections
import json
import pathlib
import shutil

import numpy as np
import pytest
from etils import epath

from hornet_jax.cli.main import main
from hornet_jax.data import imagenet_archives
from hornet_jax.data.datasets import open_split
from hornet_jax.data.decode import decode
from hornet_jax.data.generated import write_imagenet_archives
from hornet_jax.data.imagenet_archives import TRAIN_ARCHIVE, VALIDATION_ARCHIVE, check_archives
from hornet_jax.data.imagenet_classes import synsets, validation_synsets
from hornet_jax.errors import InputError
from hornet_jax.train.metrics import read_records


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
  folder = tmp_path_factory.mktemp("archives")
  write_imagenet_archives(folder)
  return folder


@pytest.fixture(scope="module")
def prepared(archives, tmp_path_factory):
  """Built by the command, after a build that was killed."""
  data_dir = tmp_path_factory.mktemp("data")
  left = data_dir / "imagenet2012" / "incomplete.ABC123_5.1.0"
  left.mkdir(parents=True)
  arguments = [f"--archives={archives}", f"--data_dir={data_dir}", "--partial"]
  assert main(["prepare", "imagenet2012", *arguments]) == 0
  assert not left.exists()
  return str(data_dir)


def test_every_image_is_there_under_its_class(prepared):
  train = open_split("imagenet2012", "train", prepared)
  validation = open_split("imagenet2012", "validation", prepared)
  assert (len(train.source), len(validation.source)) == (200, 50)
  assert train.class_names == synsets()
  kinds = collections.Counter()
  for example in train.source:
    assert example["file_name"].decode().startswith(train.class_names[example["label"]])
    kinds[example["image"][:4]] += 1
    decode(example["image"])
  assert kinds[b"\x89PNG"] == 1
  assert len(kinds) >= 2
  labels = validation_synsets()
  for example in validation.source:
    number = int(example["file_name"][-13:-5])
    assert validation.class_names[example["label"]] == labels[number - 1]


def test_a_run_from_the_command_line(prepared, tmp_path, capfd):
  config = "--config=configs/imagenet1k.py:variant=base_gf,runlocal"
  settings = {
    "data.data_dir": prepared,
    "model.variant": "hornet_nano_gf",
    "data.image_size": 16,
    "epochs": 1,
    "optimizer.warmup_epochs": 0.5,
    "log.every_steps": 2,
    "mix.group_size": 4,  # on eight devices
  }
  overrides = [f"--config.{key}={value}" for key, value in settings.items()]
  assert main(["train", config, f"--workdir={tmp_path}", *overrides]) == 0
  assert "images evaluated            50" in capfd.readouterr().out
  losses = [r["train/loss"] for r in read_records(epath.Path(tmp_path)) if "train/loss" in r]
  assert len(losses) == 3
  assert np.isfinite(losses).all()

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


def test_preparing_again_finds_it(prepared, archives, capfd):
  arguments = [f"--archives={archives}", f"--data_dir={prepared}"]
  assert main(["prepare", "imagenet2012", *arguments]) == 0
  assert "imagenet2012/train: 200 images, 1000 classes" in capfd.readouterr().out


def test_archives_are_checked_before_the_work(archives, tmp_path, monkeypatch):
  target = epath.Path(tmp_path / "data")
  with pytest.raises(InputError, match=f"{TRAIN_ARCHIVE} must hold 1,281,167 images: got 200"):
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
