"""Files of `torch.save` are read without PyTorch, and nothing in them is executed."""

import contextlib
import os
import pathlib
import zipfile

import ml_dtypes
import numpy as np
import pytest
from golden_data import GOLDEN
from torch_files import _Global, write_torch_file

from hornet_jax.convert.torch_file import read_torch_file
from hornet_jax.errors import InputError


def test_tensors_of_a_real_file():
  """Written by torch 2.13: views, transposes, other types, a parameter, an optimiser."""
  tensors = read_torch_file(GOLDEN / "torch_file.pth", lambda content: content["model"])
  base = np.arange(24, dtype=np.float32)
  expected = {
    "whole": base.reshape(4, 6),
    "view": base.reshape(4, 6)[1:3, 2:5],
    "turned": base.reshape(4, 6).T,
    "half": base.astype(ml_dtypes.bfloat16),
    "parameter": base[:3],
    "number": np.int64(7),
    "empty": np.zeros((0, 3), np.float32),
    "flags": np.array([True, False]),
    "doubles": base.astype(np.float64)[::2],
  }
  assert tensors.keys() == expected.keys()
  for name, value in expected.items():
    assert tensors[name].dtype == np.asarray(value).dtype, name
    assert tensors[name].flags.c_contiguous
    np.testing.assert_array_equal(tensors[name], value, err_msg=name)
  (class_map,) = read_torch_file(GOLDEN / "torch_class_map.pth", lambda c: {"map": c}).values()
  np.testing.assert_array_equal(class_map, [5, 2, 9])


class Calls:
  """Pickles as a call."""

  def __init__(self, function, *arguments):
    self.call = (function, arguments)

  def __reduce__(self):
    return self.call


@pytest.mark.parametrize(
  ("function", "argument", "name"),
  [
    (os.system, "touch {0}", "posix.system"),
    (eval, "open({0!r}, 'w')", "builtin.*eval"),
    (pathlib.Path.touch, "{0}", "builtin.*getattr|pathlib"),
  ],
)
def test_a_hostile_pickle_is_refused_by_name(tmp_path, function, argument, name):
  trace = tmp_path / "executed"
  content = {"model": {"a.b": np.zeros(2, np.float32)}, "args": None}
  content["args"] = Calls(function, argument.format(str(trace)))
  file = write_torch_file(tmp_path / "hostile.pth", content)
  with pytest.raises(InputError, match=f"asks for .*({name}).*Nothing of it was executed"):
    read_torch_file(file, lambda content: content["model"])
  assert not trace.exists()


def test_an_unknown_storage_or_function_is_refused(tmp_path):
  for module, name in (("torch", "hub"), ("torch._utils", "_rebuild_qtensor"), ("os", "remove")):
    file = write_torch_file(tmp_path / "a.pth", {"x": _Global(module, name)})
    with pytest.raises(InputError, match=f"asks for {module}.{name}"):
      read_torch_file(file)


@pytest.mark.parametrize(
  "name", ["torch._utils\n_rebuild_tensor_v2", "torch._utils\n_rebuild_parameter", "torch\ndevice"]
)
def test_a_file_cannot_change_how_the_next_is_read(tmp_path, name):
  """BUILD sets attributes of what is on the stack: here __call__, of the given name."""
  file = tmp_path / "sets.pth"
  with zipfile.ZipFile(file, "w") as archive:
    archive.writestr("a/data.pkl", b"\x80\x02c" + name.encode() + b"\nN}U\x08__call__K\x01s\x86b.")
  with contextlib.suppress(InputError):
    read_torch_file(file, lambda content: {"x": content})
  test_tensors_of_a_real_file()


def test_older_files_say_so():
  with pytest.raises(InputError, match=r"torch 1\.6 or newer.*older format.*torch\.save"):
    read_torch_file(GOLDEN / "torch_file_legacy.pth")


def test_broken_files_are_named(tmp_path):
  with pytest.raises(InputError, match="readable file"):
    read_torch_file(tmp_path / "none.pth")
  content = (GOLDEN / "torch_file.pth").read_bytes()
  cut = tmp_path / "cut.pth"
  cut.write_bytes(content[:-500])
  with pytest.raises(InputError, match=r"whole file.*download it again"):
    read_torch_file(cut)
  flipped = bytearray(content)
  flipped[content.index(np.arange(4, dtype=np.float32).tobytes())] ^= 1
  cut.write_bytes(flipped)
  with pytest.raises(InputError, match="must be whole: whole cannot be read"):
    read_torch_file(cut, lambda content: content["model"])


def rewritten(source, path, change):
  """A copy of a file whose entries `change(name, content)` may change or drop."""
  with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
    for name in old.namelist():
      content = change(name, old.read(name))
      if content is not None:
        new.writestr(name, content)
  return path


def test_numbers_that_are_not_there(tmp_path):
  file = write_torch_file(tmp_path / "a.pth", {"x": np.ones((2, 3), np.float32)})
  for change in (
    lambda name, content: None if name.endswith("data/0") else content,
    lambda name, content: content[:-4] if name.endswith("data/0") else content,
    lambda name, content: b"big" if name.endswith("byteorder") else content,
    lambda name, content: None if name.endswith("data.pkl") else content,
    lambda name, content: b"\x80\x02]q\x00" if name.endswith("data.pkl") else content,
  ):
    with pytest.raises(InputError, match=r"must (hold|be)"):
      read_torch_file(rewritten(file, tmp_path / "b.pth", change))
  outside = np.lib.stride_tricks.as_strided(np.ones(4, np.float32), (2, 2), (64, 4))
  file = write_torch_file(tmp_path / "c.pth", {"x": outside})
  with pytest.raises(InputError, match=r"numbers of x: expected \(2, 2\) with strides \(16, 1\)"):
    read_torch_file(file)
