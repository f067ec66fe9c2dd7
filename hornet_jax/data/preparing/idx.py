"""This module reads the idx files of the MNIST family."""

import gzip
import pathlib
import struct
import zlib

import numpy as np

from hornet_jax.errors import InputError
from hornet_jax.wording import counted

_FILES = {"train": "train", "test": "t10k"}


def read_mnist_files(folder: pathlib.Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Reads images and labels of the splits `train` and `test`.

  Source: yann.lecun.com/exdb/mnist, "the IDX file format".

  Args:
    folder: folder with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same of
      `t10k`, each with or without `.gz`.

  Returns:
    Split -> (uint8 [N, 28, 28, 1], uint8 [N]).

  Raises:
    InputError: if a file is missing or not what its name says.
  """
  splits = {}
  for split, prefix in _FILES.items():
    images = _read_idx(folder, f"{prefix}-images-idx3-ubyte", 3)
    labels = _read_idx(folder, f"{prefix}-labels-idx1-ubyte", 1)
    if len(images) != len(labels):
      raise InputError(
        f"the idx files of {prefix!r} must belong together: got "
        f"{counted(len(images), 'image')} and {len(labels)} labels in {folder}."
      )
    splits[split] = (images[..., None], labels)
  return splits


def _read_idx(folder: pathlib.Path, name: str, num_axes: int) -> np.ndarray:
  """Reads an array: two zeros, 8 for bytes, the number of axes, the sizes, the bytes."""
  found = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
  if found is None:
    raise InputError(f"the idx files must be in {folder}: expected {name} or {name}.gz there.")
  try:
    content = gzip.decompress(found.read_bytes()) if found.suffix == ".gz" else found.read_bytes()
    header = struct.calcsize(f">4B{num_axes}I")
    *magic, axes = struct.unpack_from(">4B", content)
    shape = struct.unpack_from(f">{num_axes}I", content, 4)
    if magic != [0, 0, 8] or axes != num_axes:
      raise ValueError(f"it starts with {content[:4]!r}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
  except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
    raise InputError(
      f"{found} must be an idx file of bytes with {num_axes} axes: {error}. "
      "Hint: download it again."
    ) from error
