"""The manifest of a checkpoint: its step, and size and checksum of every file of its folder.

Orbax has no checksums: it loads a flipped bit without a word. The manifest is written into the
folder once Orbax has committed it, and goes with the folder wherever that is copied to. It holds
the step, as the name of a folder can be changed.
"""

import base64
import concurrent.futures
import enum
import errno
import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from etils import epath

from hornet_jax.errors import StorageError
from hornet_jax.files import read_file, retried, unreadable, write_file
from hornet_jax.paths import file_size, in_object_store

NAME = "hornet_manifest.json"
_COMMITTED = "commit_success.txt"  # Orbax writes it last
_CHUNK = 1 << 20  # bytes read at once
_THREADS = 4  # hashing releases the interpreter, and a store answers slowly


class Integrity(enum.Enum):
  """How far a checkpoint can be trusted."""

  INTACT = "intact"
  UNVERIFIED = "no manifest"
  DAMAGED = "damaged"


class Verdict(NamedTuple):
  """What was found in the folder of a checkpoint.

  Attributes:
    state: how far it can be trusted.
    reason: the damage: which file is not as it was written, and why.
  """

  state: Integrity
  reason: str = ""


def write_manifest(folder: epath.Path, step: int) -> None:
  """Describes every file of a complete checkpoint, whichever process wrote it.

  The checksum is the SHA-256 of what is read back. Where the folder is in Google Cloud Storage
  and `gcsfs` is installed, it is the MD5 that the store keeps of each object instead, which
  costs no second read; objects without one (composite ones) are read back.

  Args:
    folder: folder of one step; local or in an object store.
    step: number of updates done.

  Raises:
    InputError: if the manifest cannot be written.
    StorageError: if the storage fails; `FullDiskError` for lack of space.
  """
  paths = dict(files_of(folder))
  with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
    files = dict(zip(paths, pool.map(_describe, paths.values()), strict=True))
  write_file(folder / NAME, json.dumps({"step": step, "files": files}, indent=1) + "\n")


def check(folder: epath.Path, *, read: bool = True) -> Verdict:
  """Compares the folder of a checkpoint with its manifest.

  Args:
    folder: folder of one step, named by it.
    read: compare the checksums; False for names and sizes alone.

  Raises:
    InputError: if it must not be read by this user.
    StorageError: if the storage fails. Neither says anything of the checkpoint.
  """
  try:
    names = retried(f"listing {folder}", lambda: {path.name for path in folder.iterdir()})
  except PermissionError as error:
    raise unreadable(folder, error) from error
  if "state" not in names:
    return Verdict(Integrity.DAMAGED, "state: missing" if names else "an empty folder")
  if NAME not in names:
    # Locally a step gets its name once it is complete; in a store it is written in place.
    if in_object_store(folder) and _COMMITTED not in names:
      return Verdict(Integrity.DAMAGED, f"{_COMMITTED}: missing, never completed")
    return Verdict(Integrity.UNVERIFIED)
  try:
    manifest = json.loads(read_file(folder / NAME))
    described, step = manifest["files"], manifest.get("step")
    wanted = {name: (int(entry["size"]), *_checksum_of(entry)) for name, entry in described.items()}
  except PermissionError as error:  # which says nothing of the checkpoint
    raise unreadable(folder / NAME, error) from error
  except StorageError:
    raise
  except (OSError, ValueError, KeyError, TypeError, AttributeError):
    return Verdict(Integrity.DAMAGED, f"{NAME}: not a manifest")
  if step is not None and str(step) != folder.name:  # earlier versions did not write it
    return Verdict(Integrity.DAMAGED, f"it is the checkpoint of step {step}, renamed or linked to")
  if not wanted:
    return Verdict(Integrity.DAMAGED, f"{NAME}: names no file")

  def difference(name: str) -> str:
    return _difference(folder / name, *wanted[name], read=read)

  with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
    reasons = zip(wanted, pool.map(difference, wanted), strict=True)
    found = [f"{name}: {reason}" for name, reason in reasons if reason]
  return Verdict(Integrity.DAMAGED, found[0]) if found else Verdict(Integrity.INTACT)


def files_of(folder: epath.Path, prefix: str = "") -> Iterator[tuple[str, epath.Path]]:
  """(name below the folder, path) of every file but the manifest, in order of names.

  Args:
    folder: folder of a checkpoint.
    prefix: name of the folder below that of the checkpoint, with a slash.
  """
  for path in sorted(folder.iterdir()):
    if path.is_dir():
      yield from files_of(path, f"{prefix}{path.name}/")
    elif prefix or path.name not in (NAME, f"{NAME}.partial"):
      yield f"{prefix}{path.name}", path


def size_of(folder: epath.Path) -> int:
  """Bytes in the files of a checkpoint."""
  return sum(file_size(path) for _, path in files_of(folder))


def _describe(path: epath.Path) -> dict[str, Any]:
  stored = _stored_md5(path)
  checksum = {"md5": stored} if stored else {"sha256": _digest(path, "sha256")}
  return {"size": file_size(path), **checksum}


def _checksum_of(entry: dict[str, Any]) -> tuple[str, str]:
  """(algorithm, checksum) of a file in the manifest."""
  algorithm = "sha256" if "sha256" in entry else "md5"
  return algorithm, str(entry[algorithm])


def _difference(path: epath.Path, size: int, algorithm: str, checksum: str, read: bool) -> str:
  """Why a file is not the one of the manifest; empty where it is."""

  def difference() -> str:
    if not path.exists():
      return "missing"
    length = file_size(path)
    if length != size:
      return f"{length:,} bytes instead of {size:,}"
    if not read:
      return ""
    found = (_stored_md5(path) if algorithm == "md5" else None) or _digest(path, algorithm)
    return "" if found == checksum else f"its {algorithm.upper()} is not that of the manifest"

  try:
    return retried(f"reading {path}", difference)
  except PermissionError as error:
    raise unreadable(path, error) from error
  except OSError as error:
    cause = error.__cause__ if isinstance(error, StorageError) else error
    if isinstance(error, StorageError) and getattr(cause, "errno", None) != errno.EIO:
      raise  # a store that does not answer; a disk with bad blocks will not get better
    return f"not readable ({getattr(cause, 'strerror', None) or cause})"


def _digest(path: epath.Path, algorithm: str) -> str:
  digest = hashlib.new(algorithm, usedforsecurity=False)
  with path.open("rb") as file:
    while chunk := file.read(_CHUNK):
      digest.update(chunk)
  return digest.hexdigest()


def _stored_md5(path: epath.Path) -> str | None:
  """The MD5 that Google Cloud Storage keeps of an object; None where nobody can tell it."""
  if not os.fspath(path).startswith("gs://"):
    return None
  import fsspec  # it comes with etils

  try:
    files, name = fsspec.core.url_to_fs(os.fspath(path))
  except ImportError:  # no gcsfs
    return None
  stored = files.info(name).get("md5Hash")
  return base64.b64decode(stored).hex() if stored else None
