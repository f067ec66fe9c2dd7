"""This module reads PyTorch's checkpoint files without PyTorch, and runs no code in them."""

import collections
import functools
import math
import pathlib
import pickle
import zipfile
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from hornet_jax.errors import InputError
from hornet_jax.file_kind import file_kind

_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # a pickled magic number
_LARGEST_PICKLE = 1 << 28  # bytes: names and shapes; the numbers lie beside
_DTYPES = {
  "FloatStorage": np.dtype(np.float32),
  "DoubleStorage": np.dtype(np.float64),
  "HalfStorage": np.dtype(np.float16),
  "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
  "LongStorage": np.dtype(np.int64),
  "IntStorage": np.dtype(np.int32),
  "ShortStorage": np.dtype(np.int16),
  "CharStorage": np.dtype(np.int8),
  "ByteStorage": np.dtype(np.uint8),
  "BoolStorage": np.dtype(np.bool_),
}
# What checkpoints hold besides tensors and is not needed: arguments of the run, devices.
_IGNORED = {
  ("argparse", "Namespace"),
  ("pathlib", "Path"),
  ("pathlib", "PosixPath"),
  ("torch", "device"),
  ("torch", "dtype"),
  ("numpy", "dtype"),
  ("numpy", "ndarray"),
  ("numpy.core.multiarray", "scalar"),
  ("numpy.core.multiarray", "_reconstruct"),
  ("numpy._core.multiarray", "scalar"),
  ("numpy._core.multiarray", "_reconstruct"),
  ("_codecs", "encode"),
  *(("torch", name) for name in ("float16", "bfloat16", "float32", "float64", "int32", "int64")),
}


class Ignored:
  """An `Ignored` stands where the file holds an object of no use here."""

  def __init__(self, *args: Any, **kwargs: Any):
    """Ignores the arguments of the original object."""

  def __setstate__(self, state: Any) -> None:
    """Ignores the state of the original object."""


class _Tensor:
  """A `_Tensor` says where a tensor lies; its numbers are read once it is asked for."""

  def __init__(self, storage: Any, offset: Any, size: Any, stride: Any, *rest: Any):
    self.storage, self.offset = storage, offset
    self.size, self.stride = size, stride


def read_torch_file(
  path: pathlib.Path, select: Callable[[Any], dict[str, Any]] = lambda content: content
) -> dict[str, np.ndarray]:
  """Reads the tensors of a dictionary in a file that `torch.save` wrote.

  The pickle inside may build dictionaries, lists, numbers and tensors, nothing else: no
  function of it is called. Arguments, devices and the like become `Ignored`.

  Args:
    path: path of a file of torch 1.6 or newer.
    select: function that takes the dictionary of tensors out of the content; the rest, such
      as the optimiser's state, is not read.

  Returns:
    The tensors by name.

  Raises:
    InputError: if it is no such file, is cut short, holds something else or hides code.
  """
  try:
    with zipfile.ZipFile(path) as archive:
      return _read(archive, path, select)
  except zipfile.BadZipFile as error:
    with path.open("rb") as file:
      legacy = file.read(len(_LEGACY)) == _LEGACY
    if legacy:
      raise InputError(
        f"{path} must be a file of torch 1.6 or newer: it has the older format, which is not a "
        "zip archive. Hint: torch.save(torch.load(OLD, map_location='cpu'), NEW) writes a new one."
      ) from error
    raise InputError(
      f"{path} must be a whole file that `torch.save` wrote: it is {file_kind(path)}. Hint: "
      "download it again; a safetensors file of ours needs no conversion."
    ) from error
  except OSError as error:
    raise InputError(f"{path} must be a readable file: {error}.") from error


def _read(
  archive: zipfile.ZipFile, path: pathlib.Path, select: Callable[[Any], dict[str, Any]]
) -> dict[str, np.ndarray]:
  pickles = [name for name in archive.namelist() if name.endswith("data.pkl")]
  if len(pickles) != 1 or archive.getinfo(pickles[0]).file_size > _LARGEST_PICKLE:
    raise InputError(f"{path} must hold one data.pkl: expected a file of `torch.save`.")
  root = pickles[0].removesuffix("data.pkl")
  byteorder = f"{root}byteorder"
  if byteorder in archive.namelist() and archive.read(byteorder) != b"little":
    raise InputError(f"{path} must be little-endian: it was written on another machine.")
  with archive.open(pickles[0]) as file:
    try:
      content = _Unpickler(file, path).load()
    except InputError:
      raise
    except Exception as error:  # a pickle can be wrong in every way
      raise InputError(f"{path} must hold a readable pickle: {error!r}.") from error
  tensors = select(content)
  return {
    name: _array(archive, root, path, name, tensor)
    for name, tensor in tensors.items()
    if isinstance(tensor, _Tensor)
  }


class _Unpickler(pickle.Unpickler):
  """An `_Unpickler` knows the few names that tensors need, and refuses every other one."""

  def __init__(self, file: Any, path: pathlib.Path):
    super().__init__(file)
    self._path = path

  def find_class(self, module: str, name: str) -> Any:
    if (module, name) == ("collections", "OrderedDict"):
      return collections.OrderedDict
    if (module, name) == ("torch", "Size"):
      return tuple
    # Fresh objects: a pickle may set attributes, which must not outlive the file.
    if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
      return functools.partial(_Tensor)
    if (module, name) == ("torch._utils", "_rebuild_parameter"):
      return functools.partial(_data_of_parameter)
    if module == "torch" and name in _DTYPES:
      return _DTYPES[name]
    if (module, name) in _IGNORED:
      return type("Ignored", (Ignored,), {})
    raise InputError(
      f"{self._path} must hold tensors and plain values only: it asks for {module}.{name}. "
      "Nothing of it was executed. Hint: do not load this file elsewhere unless you trust it."
    )

  def persistent_load(self, pid: Any) -> Any:
    kind, dtype, key, _, count = pid
    if kind != "storage" or not isinstance(dtype, np.dtype):
      raise InputError(f"{self._path} must hold ordinary storages: expected numbers, got {pid!r}.")
    return dtype, str(key), int(count)


def _data_of_parameter(data: Any, *rest: Any) -> Any:
  return data


def _array(
  archive: zipfile.ZipFile, root: str, path: pathlib.Path, name: str, tensor: _Tensor
) -> np.ndarray:
  """Reads the numbers of one tensor into a contiguous array."""
  try:
    dtype, key, count = tensor.storage
    size, stride = tuple(map(int, tensor.size)), tuple(map(int, tensor.stride))
    offset = int(tensor.offset)
    info = archive.getinfo(f"{root}data/{key}")
  except (KeyError, TypeError, ValueError) as error:
    raise InputError(f"{path} must hold the numbers of {name}: {error}.") from error
  last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=False))
  inside = len(size) == len(stride) and min((0, offset, *size, *stride)) == 0 and last < count
  # Stored as they are: what is compressed may be larger than it says.
  stored = info.compress_type == zipfile.ZIP_STORED and info.file_size == count * dtype.itemsize
  if math.prod(size) == 0:
    return np.zeros(size, dtype)
  if not inside or not stored or math.prod(size) > count:
    raise InputError(
      f"{path} must hold the numbers of {name}: expected {size} with strides {stride} from "
      f"{offset} on in {count} numbers of {dtype}, got {info.file_size} bytes."
    )
  try:
    numbers = np.frombuffer(archive.read(info), dtype)
  except (OSError, zipfile.BadZipFile) as error:
    raise InputError(f"{path} must be whole: {name} cannot be read: {error}.") from error
  steps = tuple(s * dtype.itemsize for s in stride)
  return np.lib.stride_tricks.as_strided(numbers[offset:], size, steps, writeable=False).copy()
