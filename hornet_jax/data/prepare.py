"""Prepares datasets: builds their files, in a process of its own.

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
from collections.abc import Sequence

from etils import epath

import hornet_jax
from hornet_jax.data.datasets import (
  ARRAY_RECORD,
  DATASETS,
  check_prepared,
  find_prepared,
  get_dataset,
  resolve_data_dir,
)
from hornet_jax.data.folder import ImageFolder
from hornet_jax.data.left_out import LEFT_OUT, left_out_text
from hornet_jax.errors import InputError
from hornet_jax.paths import absolute

_FOLDER_VERSION = "1.0.0"


def prepare(name: str, data_dir: str) -> epath.Path:
  """Makes sure that a known dataset is prepared; returns the folder of its files.

  Raises:
    InputError: if the dataset is unknown or the build failed, with the last line of its output.
  """
  known = get_dataset(name)
  prepared = find_prepared(name, data_dir)
  if prepared is None and known.needs_archives:
    check_prepared(name, data_dir)
  return prepared or build(name, data_dir, "known", name)


def prepare_fashion_mnist(idx_dir: pathlib.Path, data_dir: str) -> epath.Path:
  """`prepare("fashion_mnist")` from local idx files."""
  prepared = find_prepared("fashion_mnist", data_dir)
  return prepared or build("fashion_mnist", data_dir, "fashion_mnist", os.fspath(idx_dir))


def prepare_folder(folder: ImageFolder, name: str, data_dir: str) -> epath.Path:
  """Makes a dataset of a folder's images; `left_out.txt` beside them names the others.

  Args:
    folder: as `read_folder` found it.
    name: of the new dataset, for `data.dataset`.
    data_dir: where datasets are prepared.

  Returns:
    The folder of the dataset's files.

  Raises:
    InputError: if the name is taken or no name for a dataset, or the build failed.
  """
  check_name_is_free(name, data_dir)
  description = {
    "name": name,
    "version": _FOLDER_VERSION,
    "description": f"Images of {printable(folder.path)}, split {folder.rule}.",
    "class_names": _labels(folder),
    "splits": {
      split: [(os.fspath(file), label) for file, label in items]
      for split, items in folder.splits.items()
    },
  }
  with tempfile.TemporaryDirectory() as temporary:
    file = pathlib.Path(temporary) / "folder.json"
    file.write_text(json.dumps(description))
    prepared = build(name, data_dir, "folder", os.fspath(file))
  if folder.left_out:
    named = [(printable(path), reason) for path, reason in folder.left_out.items()]
    (prepared / LEFT_OUT).write_text(left_out_text(named))
  return prepared


def _labels(folder: ImageFolder) -> list[str]:
  """Names of the classes as TFDS keeps them: one a line, without spaces around."""
  labels = [" ".join(printable(name).split()) for name in folder.class_names]
  times = collections.Counter(labels)
  for name, label in zip(folder.class_names, labels, strict=True):
    if not label or times[label] > 1:
      raise InputError(
        "`path` must have class folders that differ in more than spaces: expected other names than "
        f"{name!r}. Hint: rename that folder."
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
    data_dir: where the dataset will lie, under the same name and version.

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
  """A name of a file as text, whatever bytes it is made of."""
  return os.fsencode(name).decode("utf-8", "backslashreplace")


def build(
  name: str, data_dir: str, kind: str, *arguments: str, keep_open: Sequence[int] = ()
) -> epath.Path:
  """Runs a builder of `hornet_jax.data.build` and finds what it made.

  Args:
    name: of the dataset.
    data_dir: where datasets are prepared.
    kind: of builder, a key of its `KINDS`.
    *arguments: of the builder, all but the folder that it writes to.
    keep_open: files that the builder has to keep open, see `locked`.

  Raises:
    InputError: if the build failed, with the last line of its output.
  """
  target = resolve_data_dir(data_dir)
  _run(kind, *arguments, os.fspath(target), label=name, keep_open=keep_open)
  prepared = find_prepared(name, data_dir)
  assert prepared, name
  return prepared


def _run(*arguments: str, label: str, keep_open: Sequence[int] = ()) -> None:
  """Runs `hornet_jax.data.build`, which is found wherever this process found the package.

  The builder and what it starts end with this process, however that ends.
  """
  path = [os.fspath(pathlib.Path(hornet_jax.__file__).parents[1]), os.environ.get("PYTHONPATH")]
  # On a terminal TFDS shows how far it is.
  watched = sys.stderr.isatty()
  reads, writes = os.pipe()  # the builder reads until this process is gone
  child = subprocess.Popen(
    [sys.executable, "-m", "hornet_jax.data.build", *arguments],
    stdin=reads,
    stdout=subprocess.PIPE,
    stderr=None if watched else subprocess.PIPE,
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
    raise InputError(
      f"dataset {label!r} cannot be prepared in {arguments[-1]}: {output.splitlines()[-1]} "
      f"Hint: the whole output is in {log.name}."
    )
