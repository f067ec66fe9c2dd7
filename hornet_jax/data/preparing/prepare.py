"""This module prepares datasets: it builds their files, in a process of its own.

TFDS needs TensorFlow to build. In a child process TensorFlow's memory, threads and
start-up messages end with the build, and training never imports it.
"""

import collections
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

import hornet_jax
from hornet_jax.data.catalogue import DATASETS, get_dataset
from hornet_jax.data.datasets import ARRAY_RECORD, check_prepared, find_prepared, resolve_data_dir
from hornet_jax.data.image_info import IMAGE_INFO
from hornet_jax.data.pixels.smaller import smaller_name
from hornet_jax.data.preparing.building import building
from hornet_jax.data.preparing.left_out import LEFT_OUT, left_out_text
from hornet_jax.data.preparing.own_images import OwnImages
from hornet_jax.errors import InputError
from hornet_jax.extras import missing_extra
from hornet_jax.paths import absolute, cache_folder, has_home

_OWN_VERSION = "1.0.0"


def prepare(name: str, data_dir: str) -> epath.Path:
  """Makes sure that a known dataset is prepared; returns the folder of its files.

  Raises:
    InputError: if the dataset is unknown or the build failed, with the last line of its output.
  """
  known = get_dataset(name)
  prepared = find_prepared(name, data_dir)
  if prepared is None and known.needs_archives:
    check_prepared(name, data_dir)
  return prepared or _build_once(name, data_dir, known.tfds_name, "known", name)


def prepare_fashion_mnist(idx_dir: pathlib.Path, data_dir: str) -> epath.Path:
  """Prepares Fashion-MNIST from local idx files; returns the folder of its files."""
  prepared = find_prepared("fashion_mnist", data_dir)
  arguments = ("fashion_mnist", os.fspath(idx_dir))
  return prepared or _build_once("fashion_mnist", data_dir, "fashion_mnist", *arguments)


def _build_once(name: str, data_dir: str, folder: str, kind: str, *arguments: str) -> epath.Path:
  """Builds a dataset, or waits for the process that builds it already."""
  with building(resolve_data_dir(data_dir) / folder, wait=True) as lock:
    prepared = find_prepared(name, data_dir)  # by another process, a moment ago
    return prepared or build(name, data_dir, kind, *arguments, keep_open=lock.keep_open)


def prepare_folder(folder: OwnImages, name: str, data_dir: str) -> epath.Path:
  """Makes a dataset of somebody's images; `left_out.txt` beside them names the others.

  Args:
    folder: images, as `check_and_split` left them.
    name: name of the new dataset, for `data.dataset`.
    data_dir: folder where datasets are prepared.

  Returns:
    The folder of the dataset's files.

  Raises:
    InputError: if the name is taken or no name for a dataset, or the build failed.
  """
  description = {
    "description": f"Images of {printable(folder.path)}, split {folder.rule}.",
    "class_names": _labels(folder),
    "splits": {
      split: [(os.fspath(file), label) for file, label in items]
      for split, items in folder.splits.items()
    },
  }
  prepared = build_own("folder", description, folder.left_out, name, data_dir)
  (prepared / IMAGE_INFO).write_text(folder.image_info.to_json())
  return prepared


def build_own(
  kind: str,
  description: Mapping[str, Any],
  left_out: Mapping[pathlib.Path, str],
  name: str,
  data_dir: str,
) -> epath.Path:
  """Builds a dataset of somebody's own files, and names beside it those that are not used.

  Args:
    kind: kind of builder, see `build`.
    description: what the builder is told besides the name and the version, of JSON types.
    left_out: path of each file that is not used, and the reason.
    name: name of the new dataset.
    data_dir: folder where datasets are prepared.

  Returns:
    The folder of the dataset's files.

  Raises:
    InputError: if the name is taken or no name for a dataset, or the build failed.
  """
  check_name_is_free(name, data_dir)
  with (
    building(resolve_data_dir(data_dir) / name) as lock,
    tempfile.TemporaryDirectory() as temporary,
  ):
    file = pathlib.Path(temporary) / "description.json"
    file.write_text(json.dumps({"name": name, "version": _OWN_VERSION, **description}))
    prepared = build(name, data_dir, kind, os.fspath(file), keep_open=lock.keep_open)
  if left_out:
    named = [(printable(path), reason) for path, reason in left_out.items()]
    (prepared / LEFT_OUT).write_text(left_out_text(named))
  return prepared


def prepare_smaller(name: str, short_side: int, quality: int, data_dir: str) -> epath.Path:
  """Makes a copy of a prepared dataset whose images are smaller; returns the folder of its files.

  Args:
    name: name of the prepared dataset.
    short_side: short side of the copies in pixels; smaller images stay as they are.
    quality: quality of their JPEGs, 1 to 100.
    data_dir: folder where datasets are prepared.

  Raises:
    InputError: if the dataset is not prepared or the build failed.
  """
  check_prepared(name, data_dir)
  copy = smaller_name(name, short_side, quality)
  return find_prepared(copy, data_dir) or _build_once(
    copy, data_dir, copy, "smaller", name, str(short_side), str(quality)
  )


def _labels(folder: OwnImages) -> list[str]:
  """Returns the names of the classes as TFDS keeps them: one a line, without spaces around."""
  labels = [" ".join(printable(name).split()) for name in folder.class_names]
  times = collections.Counter(labels)
  for name, label in zip(folder.class_names, labels, strict=True):
    if not label or times[label] > 1:
      raise InputError(
        "`path` must have classes that differ in more than spaces: expected other names than "
        f"{name!r}. Hint: rename that class."
      )
  return labels


def check_name_is_free(name: str, data_dir: str) -> None:
  """Raises `InputError` unless a new dataset may have this name."""
  if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
    raise InputError(f"`name` must be lower-case letters, digits and underscores: got {name!r}.")
  taken = find_prepared(name, data_dir)
  if name in DATASETS or taken:
    where = f"in {taken}" if taken else "a dataset of its own"
    raise InputError(
      f"`name` must be new: {name!r} is {where}. Hint: choose another name, or delete that folder."
    )


def convert(source: pathlib.Path, data_dir: str) -> epath.Path:
  """Converts a prepared TFRecord dataset, whose records stay as they are.

  Where the dataset lies in `data_dir` already, the new files come beside the old ones, and its
  description lists both formats.

  Args:
    source: folder of a version, such as `.../imagenet2012/5.1.0`.
    data_dir: folder where the dataset will lie, under the same name and version.

  Raises:
    InputError: if `source` is no such folder, another dataset is in the way or the
      conversion failed.
  """
  source = absolute(source)
  try:
    info = json.loads((source / "dataset_info.json").read_text())
    parts = [info["name"], info.get("configName"), info["version"]]
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    reason = f"{error} is missing in it" if isinstance(error, KeyError) else error
    raise InputError(
      f"`path` must be the folder of a prepared version, with dataset_info.json: {reason}."
    ) from error
  target = absolute(resolve_data_dir(data_dir)).joinpath(*filter(None, parts))
  if target != source and (target / "dataset_info.json").exists():
    raise InputError(
      f"`data_dir` must not hold the dataset yet: {target} is prepared. Hint: choose another "
      "--data_dir, or delete that folder."
    )
  if target == source and ARRAY_RECORD in info.get("alternativeFileFormats", []):
    return target
  _run("tfrecord", os.fspath(source), os.fspath(target), label=info["name"])
  return target


def printable(name: str | os.PathLike[str]) -> str:
  """Returns the name of a file as text, whatever bytes it is made of."""
  return os.fsencode(name).decode("utf-8", "backslashreplace")


def build(
  name: str, data_dir: str, kind: str, *arguments: str, keep_open: Sequence[int] = ()
) -> epath.Path:
  """Runs a builder of `hornet_jax.data.preparing.build` and finds what it made.

  Args:
    name: name of the dataset.
    data_dir: folder where datasets are prepared.
    kind: kind of builder, a key of its `KINDS`.
    *arguments: arguments of the builder, all but the folder that it writes to.
    keep_open: files that the builder has to keep open, see `Lock`.

  Raises:
    InputError: if the build failed, with the last line of its output.
  """
  target = resolve_data_dir(data_dir)
  _run(kind, *arguments, os.fspath(target), label=name, keep_open=keep_open)
  prepared = find_prepared(name, data_dir)
  assert prepared, name
  return prepared


def _run(*arguments: str, label: str, keep_open: Sequence[int] = ()) -> None:
  """Runs `hornet_jax.data.preparing.build`, which is found wherever this process found the package.

  The builder and what it starts end with this process, however that ends.
  """
  path = [os.fspath(pathlib.Path(hornet_jax.__file__).parents[1]), os.environ.get("PYTHONPATH")]
  # On a terminal TFDS shows how far it is.
  on_terminal = sys.stderr.isatty()
  reads, writes = os.pipe()  # the builder reads until this process is gone
  child = subprocess.Popen(
    [sys.executable, "-m", "hornet_jax.data.preparing.build", *arguments],
    stdin=reads,
    stdout=subprocess.PIPE,
    stderr=None if on_terminal else subprocess.PIPE,
    text=True,
    process_group=0,
    pass_fds=keep_open,
    env=os.environ
    | {
      "PYTHONPATH": os.pathsep.join(filter(None, path)),
      # TensorFlow must not take the accelerator.
      "CUDA_VISIBLE_DEVICES": "",
      "TF_CPP_MIN_LOG_LEVEL": "3",
      "TF_ENABLE_ONEDNN_OPTS": "0",
      # Keras wants a home, and makes a folder `~` where there is none.
      **({} if has_home() else {"HOME": os.fspath(cache_folder())}),
    },
  )
  os.close(reads)
  try:
    stdout, stderr = child.communicate()
  except BaseException:
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    raise
  finally:
    os.close(writes)
  if child.returncode != 0:
    output = (stdout + (stderr or "")).strip() or "what went wrong stands above."
    prefix = f"hornet-prepare-{label.replace('/', '-')}-"
    with tempfile.NamedTemporaryFile("w", prefix=prefix, suffix=".log", delete=False) as log:
      log.write(output)
    last = output.splitlines()[-1]
    raise InputError(
      f"dataset {label!r} cannot be prepared in {arguments[-1]}: {missing_extra(last) or last} "
      f"Hint: the whole output is in {log.name}."
    )
