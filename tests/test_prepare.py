"""Datasets built from folders, idx files and TFRecord files, as the command line does it."""

import gzip
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from test_folder import HOSTILE_BAD, HOSTILE_GOOD, encoded, hostile, write  # noqa: F401

from hornet_jax.cli.main import main
from hornet_jax.data.datasets import default_splits, open_split
from hornet_jax.data.pipeline import eval_batches
from hornet_jax.data.pixels.decode import decode
from hornet_jax.data.preparing.idx import read_mnist_files
from hornet_jax.data.views.eval_view import EvalView
from hornet_jax.errors import InputError
from hornet_jax.tasks import Classification


def test_a_hostile_folder_from_disk_to_batches(hostile, tmp_path, capfd):  # noqa: F811
  arguments = ["prepare", "folder", f"--path={hostile}", f"--data_dir={tmp_path}"]
  odd = hostile / "dogs" / os.fsdecode(b"not utf-8 \xff.png")
  write(odd, encoded())
  assert main([*arguments, "--name=mine"]) == 0
  printed = capfd.readouterr().out
  for name in HOSTILE_BAD:
    assert name.split("/")[0] in printed
  assert "classes without an image in train: empty" in printed
  assert "split by rule: of each class the 0.1" in printed
  left_out = (tmp_path / "mine" / "1.0.0" / "left_out.txt").read_text()
  assert len(left_out.splitlines()) == len(HOSTILE_BAD) + 3
  assert "dogs/.ipynb_checkpoints\thidden\n" in left_out

  assert default_splits("mine", str(tmp_path)) == ("train", "test")
  stored = {}
  for name in ("train", "test"):
    split = open_split("mine", name, str(tmp_path))
    assert split.class_names == ["chats café", "dogs", "empty"]
    stored |= {os.fsdecode(e["file_name"]): e["image"] for e in split.source}
    task = Classification(3, EvalView(8, 1.0))
    batch = next(eval_batches(split, task.load, task.schema, batch_size=16))
    assert batch["weight"].sum() == len(split.source)
  assert len(stored) == len(HOSTILE_GOOD) + 2
  assert os.fspath(odd) in stored
  for name, content in HOSTILE_GOOD.items():
    assert stored[os.fspath(hostile / name)] == content, name

  assert main([*arguments, "--name=mine"]) == 2
  assert "`name` must be new: 'mine' is in" in capfd.readouterr().err


@pytest.mark.slow
def test_what_is_odd_of_a_folder_is_told_in_a_line_each(tmp_path, capfd):
  """One class, several pages, values out of their range or no numbers, and both kinds of splits."""
  images = tmp_path / "images"
  for split in ("train", "val", "test"):
    for i in range(2):
      write(images / split / "cat" / f"{i}.png", encoded("L"))
  written = {"beyond.npy": [[-1.0, 2.0]], "fine.npy": [[0.0, 1.0]], "nan.npy": [[np.nan, 1.0]]}
  for name, values in written.items():
    np.save(images / "train" / "cat" / name, np.array(values, np.float32))
  pages = [Image.new("L", (6, 4)) for _ in range(2)]
  pages[0].save(images / "train" / "cat" / "pages.tif", save_all=True, append_images=pages[1:])
  arguments = [f"--path={images}", "--name=cats", "--channels=1", "--max_value=2.0"]
  assert main(["prepare", "folder", *arguments, f"--data_dir={tmp_path}"]) == 0
  printed = capfd.readouterr().out
  path = tmp_path / "cats" / "1.0.0"
  for line in (
    "evaluated on is validation; on test as well by --config.eval.also=('cats/test',), ",
    "there is one class alone: nothing can be learned from it",
    "1 channel, mean (",
    "of 1 file values below 0 or above the largest ",
    "of 1 TIFF with several pages the first alone is read",
    f"left out, 1 in all, every one named in {path}/left_out.txt:",
    f"  {images}/train/cat/nan.npy: values that are infinite or NaN: 1 of 2",
    f"in {path}; to train",
  ):
    assert printed.count(f"\n{line}") == 1, line
  assert default_splits("cats", str(tmp_path)) == ("train", "validation")
  write(images / "val" / "dog" / "1.png", encoded())
  assert main(["prepare", "folder", *arguments[:1], "--name=two", f"--data_dir={tmp_path}"]) == 0
  assert "one class alone" not in capfd.readouterr().out


def test_classes_that_differ_in_spaces_alone(tmp_path, capfd):
  for name in ("cat", "cat "):
    write(tmp_path / "images" / name / "1.png", encoded())
    write(tmp_path / "images" / name / "2.png", encoded())
  arguments = [f"--path={tmp_path / 'images'}", "--name=cats", f"--data_dir={tmp_path}"]
  assert main(["prepare", "folder", *arguments]) == 2
  assert "differ in more than spaces" in capfd.readouterr().err


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["folder", "--path=."], "needs --path.*--name"),
    (["folder", "--path=.", "--name=My-Images"], "lower-case letters"),
    (["folder", "--path=.", "--name=digits"], "must be new: 'digits' is a dataset of its own"),
    (["tfrecord"], "needs --path"),
    (["tfrecord", "--path=."], "folder of a prepared version"),
    (["digit"], "did you mean 'digits'"),
    (["digits", "--idx=."], "--idx belongs to fashion_mnist"),
    (["digits", "--path=."], "--path belongs to folder and tfrecord"),
    (["tfrecord", "--path=.", "--eval_fraction=0.2"], "--eval_fraction belongs to folder"),
    (
      ["folder", "--max_value=text"],
      "error: argument --max_value: invalid float value: 'text'. Hint",
    ),
    (["folder", "--channels=0"], "--channels: expected a whole number of at least 1, got '0'"),
    ([], "arguments are required: dataset. Hint: hornet prepare --help"),
    (["fashion_mnist", "--idx=/none"], "train-images-idx3-ubyte or train-images-idx3-ubyte.gz"),
  ],
)
def test_wrong_arguments_are_one_line(arguments, message, tmp_path, capfd):
  assert main(["prepare", *arguments, f"--data_dir={tmp_path}"]) == 2
  captured = capfd.readouterr().err.strip()
  assert captured.count("\n") == 0
  with pytest.raises(InputError, match=message):
    raise InputError(captured)


def idx(array):
  header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
  return header + array.tobytes()


def write_idx_files(folder, rng):
  """Six and four random images, the training images gzipped."""
  splits = {}
  for prefix, count in (("train", 6), ("t10k", 4)):
    images = rng.integers(0, 256, (count, 28, 28), np.uint8)
    labels = rng.integers(0, 10, count).astype(np.uint8)
    compressed = prefix == "train"
    write(
      folder / f"{prefix}-images-idx3-ubyte{'.gz' if compressed else ''}",
      gzip.compress(idx(images)) if compressed else idx(images),
    )
    write(folder / f"{prefix}-labels-idx1-ubyte", idx(labels))
    splits[prefix] = (images, labels)
  return splits


def test_fashion_mnist_from_idx_files(tmp_path, capfd):
  written = write_idx_files(tmp_path / "idx", np.random.default_rng(0))
  arguments = ["fashion_mnist", f"--idx={tmp_path / 'idx'}", f"--data_dir={tmp_path / 'data'}"]
  assert main(["prepare", *arguments]) == 0
  assert "fashion_mnist/train: 6 images, 10 classes" in capfd.readouterr().out
  images, labels = written["t10k"]
  examples = list(open_split("fashion_mnist", "test", str(tmp_path / "data")).source)
  pixels = {np.asarray(decode(e["image"]))[..., 0].tobytes(): e["label"] for e in examples}
  assert pixels == {i.tobytes(): int(k) for i, k in zip(images, labels, strict=True)}


@pytest.mark.parametrize(
  ("name", "content", "message"),
  [
    ("train-images-idx3-ubyte.gz", gzip.compress(bytes(99))[:-9], "ended before"),
    ("train-images-idx3-ubyte.gz", gzip.compress(bytes(99))[:10] + b"\xff" * 20, "invalid"),
    ("t10k-labels-idx1-ubyte", idx(np.zeros((4, 1), np.uint8)), "must be an idx file.*1 axes"),
    ("t10k-labels-idx1-ubyte", idx(np.zeros(5, np.uint8)), "4 images and 5 labels"),
    ("t10k-labels-idx1-ubyte", b"", "must be an idx file"),
  ],
  ids=["cut", "corrupt", "axes", "count", "empty"],
)
def test_broken_idx_files_are_named(tmp_path, name, content, message):
  write_idx_files(tmp_path, np.random.default_rng(0))
  write(tmp_path / name, content)
  with pytest.raises(InputError, match=message):
    read_mnist_files(tmp_path)


MAKE_TFRECORD = """
import sys
import numpy as np
import tensorflow_datasets as tfds
images = np.arange(5 * 4 * 4 * 3, dtype=np.uint8).reshape(5, 4, 4, 3)
tfds.dataset_builders.store_as_tfds_dataset(
  name="old", version="2.0.0", data_dir=sys.argv[1],
  features=tfds.features.FeaturesDict(
    {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(names=["a", "b"])}),
  split_datasets={
    split: [(i, {"image": images[i], "label": i % 2}) for i in range(n)]
    for split, n in (("train", 5), ("test", 2))},
  disable_shuffling=True,
)
"""


@pytest.mark.slow
def test_tfrecord_datasets_are_converted(tmp_path, capfd):
  old, new = tmp_path / "old", tmp_path / "new"
  subprocess.run([sys.executable, "-c", MAKE_TFRECORD, old], check=True, capture_output=True)
  path = old / "old" / "2.0.0"
  with pytest.raises(InputError, match=r"as ArrayRecord.*prepare tfrecord --path=.*2\.0\.0"):
    open_split("old", "train", str(old))
  before = sorted(file.name for file in path.iterdir())
  assert main(["prepare", "tfrecord", f"--path={path}", f"--data_dir={new}"]) == 0
  assert sorted(file.name for file in path.iterdir()) == before
  assert main(["prepare", "tfrecord", f"--path={path}", f"--data_dir={new}"]) == 2
  assert "must not hold the dataset yet" in capfd.readouterr().err
  # Into its own folder as well, as often as one likes: both formats then lie there.
  assert main(["prepare", "tfrecord", f"--path={path}", f"--data_dir={old}"]) == 0
  assert main(["prepare", "tfrecord", f"--path={path}", f"--data_dir={old}"]) == 0
  for data_dir in (old, new):
    split = open_split("old", "train", str(data_dir))
    assert split.class_names == ["a", "b"]
    assert [example["label"] for example in split.source] == [0, 1, 0, 1, 0]
    pixels = np.stack([np.asarray(decode(example["image"])) for example in split.source])
    np.testing.assert_array_equal(pixels, np.arange(240, dtype=np.uint8).reshape(5, 4, 4, 3))
  with pytest.raises(InputError, match=r"no split 'val': expected one of train, test"):
    open_split("old", "val", str(new))


@pytest.mark.slow
def test_a_failed_build_leaves_its_output(tmp_path, capfd):
  """One shard is missing: the error names a log that holds the traceback."""
  old = tmp_path / "old"
  subprocess.run([sys.executable, "-c", MAKE_TFRECORD, old], check=True, capture_output=True)
  path = old / "old" / "2.0.0"
  next(path.glob("*train*")).unlink()
  assert main(["prepare", "tfrecord", f"--path={path}", f"--data_dir={old}"]) == 2
  log = pathlib.Path(re.search(r"whole output is in (\S+)\.\n", capfd.readouterr().err)[1])
  assert "Traceback" in log.read_text()
  log.unlink()


@pytest.mark.parametrize("content", ["{}", "[]", "no json"])
def test_broken_descriptions_are_named(content, tmp_path, capfd):
  write(tmp_path / "dataset_info.json", content.encode())
  assert main(["prepare", "tfrecord", f"--path={tmp_path}", f"--data_dir={tmp_path}"]) == 2
  assert "folder of a prepared version, with dataset_info.json: " in capfd.readouterr().err


MAKE_UNLABELLED = """
import sys
import numpy as np
import tensorflow_datasets as tfds
tfds.dataset_builders.store_as_tfds_dataset(
  name="boxes", version="1.0.0", data_dir=sys.argv[1], file_format="array_record",
  features=tfds.features.FeaturesDict({"image": tfds.features.Image(), "number": np.int64}),
  split_datasets={"train": [(0, {"image": np.zeros((4, 4, 3), np.uint8), "number": 1})]},
)
"""


def test_a_dataset_without_classes_is_refused(tmp_path):
  subprocess.run([sys.executable, "-c", MAKE_UNLABELLED, tmp_path], check=True, capture_output=True)
  with pytest.raises(InputError, match=r"must be of image classification.*got `image`, `number`"):
    open_split("boxes", "train", str(tmp_path))


@pytest.mark.parametrize(
  ("arguments", "shown", "not_shown"),
  [
    (
      ["folder"],
      ["--labels", "--max_value", "--data_dir"],
      ["--archives", "--idx", "--short_side"],
    ),
    (["imagenet2012"], ["--archives", "--partial"], ["--labels", "--beam_options", "--path"]),
    (["smaller"], ["--short_side", "--name"], ["--labels", "--path"]),
    ([], ["--labels", "--archives", "--short_side", "--idx"], []),
  ],
)
def test_help_after_a_dataset_is_on_its_flags(capfd, arguments, shown, not_shown):
  with pytest.raises(SystemExit) as end:
    main(["prepare", *arguments, "--help"])
  assert end.value.code == 0
  printed = capfd.readouterr().out
  assert not [flag for flag in shown if flag not in printed]
  assert not [flag for flag in not_shown if flag in printed]
