"""This module writes PyTorch's checkpoint files without PyTorch."""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from hornet_jax.errors import InputError

_STORAGES = {"float32": "FloatStorage", "int64": "LongStorage"}
_EMPTY_TUPLE, _REDUCE, _STOP = b")", b"R", b"."


def torch_file(content: Mapping[str, Any]) -> bytes:
  """Makes the file that `torch.save(content, path)` would write, of torch 1.6 or newer.

  `torch.load` reads it, with `weights_only` too.

  Source: the format of torch.serialization: a zip archive, stored without compression, of a pickle
  of protocol 2 and the numbers of each tensor.

  Args:
    content: dictionaries, tuples, texts and arrays of float32 or int64, which become tensors.

  Raises:
    InputError: if there is anything else.
  """
  numbers: list[np.ndarray] = []
  pickled = b"\x80\x02" + _pickle(content, numbers) + _STOP
  buffer = io.BytesIO()
  parts: dict[str, bytes] = {
    "data.pkl": pickled,
    "byteorder": b"little",
    **{f"data/{key}": array.tobytes() for key, array in enumerate(numbers)},
    "version": b"3\n",
  }
  with zipfile.ZipFile(buffer, "w") as archive:
    for name, part in parts.items():
      # No time of writing: the same arrays give the same file.
      archive.writestr(zipfile.ZipInfo(f"archive/{name}"), part)
  return buffer.getvalue()


def _pickle(item: Any, numbers: list[np.ndarray]) -> bytes:
  """Writes the instructions that build a value; arrays are gathered in `numbers`."""
  if isinstance(item, str):
    encoded = item.encode()
    return b"X" + len(encoded).to_bytes(4, "little") + encoded
  if isinstance(item, bool):
    return b"\x88" if item else b"\x89"
  if isinstance(item, int):
    return b"J" + item.to_bytes(4, "little", signed=True)
  if isinstance(item, tuple):
    return b"(" + b"".join(_pickle(part, numbers) for part in item) + b"t"
  if isinstance(item, Mapping):
    pairs = (_pickle(part, numbers) for pair in item.items() for part in pair)
    return b"}(" + b"".join(pairs) + b"u"
  if isinstance(item, np.ndarray) and item.dtype.name in _STORAGES:
    return _pickle_tensor(item, numbers)
  kind = f"an array of {item.dtype}" if isinstance(item, np.ndarray) else type(item).__name__
  raise InputError(
    "a PyTorch file must hold texts, numbers and arrays of float32 or int64 by their names: got "
    f"{kind}."
  )


def _pickle_tensor(array: np.ndarray, numbers: list[np.ndarray]) -> bytes:
  key = str(len(numbers))
  numbers.append(np.ascontiguousarray(array))
  strides = tuple(int(np.prod(array.shape[axis + 1 :])) for axis in range(array.ndim))
  kind = _STORAGES[array.dtype.name]
  # A reference to a storage, whose numbers lie beside the pickle.
  storage = (
    b"("
    + _pickle("storage", numbers)
    + _name("torch", kind)
    + _pickle((key, "cpu", array.size), numbers)[1:-1]
    + b"tQ"
  )
  hooks = _name("collections", "OrderedDict") + _EMPTY_TUPLE + _REDUCE
  arguments = _pickle((0, array.shape, strides, False), numbers)[1:-1]
  return (
    _name("torch._utils", "_rebuild_tensor_v2")
    + b"("
    + storage
    + arguments
    + hooks
    + b"t"
    + _REDUCE
  )


def _name(module: str, name: str) -> bytes:
  return f"c{module}\n{name}\n".encode()
