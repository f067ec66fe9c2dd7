"""Files where storage fails: what passes is tried again, what lasts is told at once."""

import errno
import os

import pytest
from etils import epath

from hornet_jax import files
from hornet_jax.errors import FullDiskError, InputError, StorageError
from hornet_jax.files import is_transient, make_folder, retried, write_file


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
  monkeypatch.setattr(files, "PAUSES", (0.0, 0.0))


def error_of(number):
  return OSError(number, os.strerror(number))


def failing(times, error):
  """Fails so often, and then returns."""
  left = [times]

  def act():
    if left[0]:
      left[0] -= 1
      raise error
    return "done"

  return act


class UnavailableError(Exception):
  """As clients of stores raise, outside of `OSError`."""


PASSING = [
  ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
  TimeoutError("the read operation timed out"),
  error_of(errno.EIO),
  error_of(errno.ESTALE),
  UnavailableError("503 Service Unavailable"),
  RuntimeError("UNAVAILABLE: Error writing gs://bucket/a"),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_passes_is_tried_again_and_then_told(error, caplog):
  assert retried("writing a", failing(2, error)) == "done"
  assert caplog.text.count("writing a failed, again in 0 s") == 2
  with pytest.raises(StorageError, match=r"writing a failed 3 times: .* Hint: start the same") as e:
    retried("writing a", failing(3, error))
  assert not isinstance(e.value, FullDiskError)


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOENT, errno.EROFS, errno.ENAMETOOLONG])
def test_what_lasts_is_raised_at_once(number, caplog):
  with pytest.raises(OSError, match=os.strerror(number)):
    retried("writing a", failing(1, error_of(number)))
  assert not caplog.records


def test_a_full_disk_is_no_passing_fault():
  for error in (error_of(errno.ENOSPC), RuntimeError("RESOURCE: No space left on device")):
    with pytest.raises(FullDiskError):
      retried("writing a", failing(1, error))


def test_an_error_goes_back_to_its_cause():
  wrapped = RuntimeError("incompatible handler")
  wrapped.__cause__ = ConnectionResetError("peer")
  assert is_transient(wrapped)
  assert not is_transient(ValueError("another shape"))


def test_writing_is_whole_or_an_error_of_its_kind(tmp_path, monkeypatch):
  path = epath.Path(tmp_path) / "a"
  write_file(path, "first")
  assert path.read_text() == "first"
  (tmp_path / "file").write_text("")
  with pytest.raises(InputError, match="must be a folder that can be written"):
    make_folder(epath.Path(tmp_path) / "file" / "b")
  with pytest.raises(InputError, match="must be a file that can be written"):
    write_file(epath.Path(tmp_path) / "nowhere" / "a", "x")
  replace = type(path).replace
  act = failing(1, error_of(errno.EIO))
  monkeypatch.setattr(type(path), "replace", lambda self, to: (act(), replace(self, to))[1])
  write_file(path, "second")
  assert path.read_text() == "second"
