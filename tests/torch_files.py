"""Writes files as `torch.save` does, without PyTorch."""

import argparse
import io
import pickle
import zipfile
from collections.abc import Mapping

import numpy as np

_STORAGES = {"float32": "FloatStorage", "int64": "LongStorage"}


class _Global:
  """Pickles as a reference to a name that need not exist here."""

  def __init__(self, module, name):
    self.module, self.name = module, name


class _Pickler(pickle._Pickler):
  """Protocol 2, as torch writes it."""

  def __init__(self, file):
    super().__init__(file, 2)
    self.storages = {}

  def persistent_id(self, item):
    if isinstance(item, _Storage):
      key = str(len(self.storages))
      self.storages[key] = item.array.tobytes()
      kind = _Global("torch", _STORAGES[item.array.dtype.name])
      return ("storage", kind, key, "cpu", item.array.size)
    return None

  def save(self, item, save_persistent_id=True):
    if isinstance(item, _Global):
      self.write(b"c" + f"{item.module}\n{item.name}\n".encode())
    elif isinstance(item, np.ndarray):
      strides = tuple(s // item.itemsize for s in item.strides)
      arguments = (_Storage(item), 0, item.shape, strides, False, {})
      self.save(_Global("torch._utils", "_rebuild_tensor_v2"))
      self.save(arguments)
      self.write(b"R")
    else:
      super().save(item, save_persistent_id)


class _Storage:
  def __init__(self, array):
    self.array = array


def write_torch_file(path, content):
  """`torch.save(content, path)`, arrays for tensors; other objects pickle as they do."""
  buffer = io.BytesIO()
  pickler = _Pickler(buffer)
  pickler.dump(content)
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("archive/data.pkl", buffer.getvalue())
    archive.writestr("archive/byteorder", "little")
    for key, numbers in pickler.storages.items():
      archive.writestr(f"archive/data/{key}", numbers)
    archive.writestr("archive/version", "3\n")
  return path


def official_checkpoint(state_dict: Mapping[str, np.ndarray]) -> dict:
  """What the official main.py saves: weights, average, optimiser, arguments of the run."""
  moments = {i: {"step": 7, "exp_avg": value} for i, value in enumerate(state_dict.values())}
  return {
    "model": dict(state_dict),
    "optimizer": {"state": moments, "param_groups": [{"lr": 4e-3, "lr_scale": 1.0}]},
    "epoch": 299,
    "scaler": {"scale": 65536.0},
    "args": argparse.Namespace(model="hornet_tiny_gf", lr=4e-3, aa="rand-m9-mstd0.5-inc1"),
    "model_ema": {name: value * np.float32(0.5) for name, value in state_dict.items()},
  }
