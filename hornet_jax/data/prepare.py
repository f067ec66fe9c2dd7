"""Builds a dataset's files, in a process of its own.

TFDS needs TensorFlow to build. In a child process TensorFlow's memory, threads and
start-up messages end with the build, and training never imports it.
"""

import importlib
import os
import pathlib
import subprocess
import sys

from etils import epath

import hornet_jax
from hornet_jax.data.datasets import find_prepared, get_dataset, resolve_data_dir
from hornet_jax.errors import InputError


def prepare(name: str, data_dir: str) -> epath.Path:
  """Makes sure that a dataset is prepared; returns the folder of its files.

  Raises:
    InputError: if the dataset is unknown or the build failed, with the last line of its output.
  """
  get_dataset(name)
  prepared = find_prepared(name, data_dir)
  if prepared is not None:
    return prepared
  target = resolve_data_dir(data_dir)
  # The child finds this package wherever the parent found it.
  path = [os.fspath(pathlib.Path(hornet_jax.__file__).parents[1]), os.environ.get("PYTHONPATH")]
  child = subprocess.run(
    [sys.executable, "-m", "hornet_jax.data.prepare", name, os.fspath(target)],
    check=False,
    capture_output=True,
    text=True,
    env=os.environ
    | {
      "PYTHONPATH": os.pathsep.join(filter(None, path)),
      # TensorFlow must not take the accelerator.
      "CUDA_VISIBLE_DEVICES": "",
    },
  )
  prepared = find_prepared(name, data_dir)
  if child.returncode != 0 or prepared is None:
    output = (child.stdout + child.stderr).strip() or "no output"
    raise InputError(
      f"dataset {name!r} cannot be prepared in {target}: {output.splitlines()[-1]}. Hint: "
      f"`python -m hornet_jax.data.prepare {name} {target}` shows the whole output."
    )
  return prepared


def build(name: str, data_dir: str) -> None:
  """Builds in this process; imports TensorFlow."""
  module = importlib.import_module(get_dataset(name).builder)
  module.Builder(data_dir=data_dir, file_format="array_record").download_and_prepare()


if __name__ == "__main__":
  build(*sys.argv[1:])
