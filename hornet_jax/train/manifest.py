"""The manifest of a checkpoint: size and checksum of every file of its folder.

Orbax has no checksums: it loads a flipped bit without a word. The manifest is written into the
folder once Orbax has committed it, and goes with the folder wherever that is copied to.
"""

import base64
import concurrent.futures
import enum
import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from etils import epath

from hornet_jax.paths import in_object_store
from hornet_jax.train.files import write_file

NAME = "hornet_manifest.json"
_COMMITTED = "commit_success.txt"  # Orbax writes it last
_CHUNK = 1 << 20  # bytes read at once
_THREADS = 4  # hashing releases the interpreter, and a store answers slowly


class State(enum.Enum):
  """How far a checkpoint can be trusted."""

  INTACT = "intact"
  UNVERIFIED = "no manifest"
  DAMAGED = "damaged"


class Verdict(NamedTuple):
  """What was found in the folder of a checkpoint.

  Attributes:
    state: how far it can be trusted.
    reason: of damage: which file is not as it was written, and why.
  """

  state: State
  reason: str = ""


def write_manifest(folder: epath.Path) -> None:
  """Describes every file of a complete checkpoint, whichever process wrote it.

  The checksum is the SHA-256 of what is read back. Where the folder is in Google Cloud Storage
  and `gcsfs` is installed, it is the MD5 that the store keeps of each object instead, which
  costs no second read; objects without one (composite ones) are read back.

  Args:
    folder: of one step; local or in an object store.

  Raises:
    InputError: if the manifest cannot be written.
    FullDiskError: if that is for lack of space.
  """
  paths = dict(_files(folder))
  with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
    files = dict(zip(paths, pool.map(_describe, paths.values()), strict=True))
  write_file(folder / NAME, json.dumps({"files": files}, indent=1) + "\n")


def check(folder: epath.Path, *, read: bool = True) -> Verdict:
  """Compares the folder of a checkpoint with its manifest.

  Args:
    folder: of one step.
    read: compare the checksums; False for names and sizes alone.
  """
  if not (folder / "state").is_dir():
    return Verdict(State.DAMAGED, "state: missing" if any(folder.iterdir()) else "an empty folder")
  if not (folder / NAME).exists():
    # Locally a step gets its name once it is complete; in a store it is written in place.
    if in_object_store(folder) and not (folder / _COMMITTED).exists():
      return Verdict(State.DAMAGED, f"{_COMMITTED}: missing, never completed")
    return Verdict(State.UNVERIFIED)
  try:
    described = json.loads((folder / NAME).read_text())["files"]
    wanted = {name: (int(entry["size"]), *_checksum_of(entry)) for name, entry in described.items()}
  except (OSError, ValueError, KeyError, TypeError, AttributeError):
    return Verdict(State.DAMAGED, f"{NAME}: not a manifest")
  if not wanted:
    return Verdict(State.DAMAGED, f"{NAME}: names no file")

  def difference(name: str) -> str:
    return _difference(folder / name, *wanted[name], read=read)

  with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
    reasons = zip(wanted, pool.map(difference, wanted), strict=True)
    found = [f"{name}: {reason}" for name, reason in reasons if reason]
  return Verdict(State.DAMAGED, found[0]) if found else Verdict(State.INTACT)


def _files(folder: epath.Path, prefix: str = "") -> Iterator[tuple[str, epath.Path]]:
  """(name below the folder, path) of every file but the manifest, in order of names."""
  for path in sorted(folder.iterdir()):
    if path.is_dir():
      yield from _files(path, f"{prefix}{path.name}/")
    elif prefix or path.name not in (NAME, f"{NAME}.partial"):
      yield f"{prefix}{path.name}", path


def size_of(folder: epath.Path) -> int:
  """Bytes in the files of a checkpoint."""
  return sum(path.stat().length for _, path in _files(folder))


def _describe(path: epath.Path) -> dict[str, Any]:
  stored = _stored_md5(path)
  checksum = {"md5": stored} if stored else {"sha256": _digest(path, "sha256")}
  return {"size": path.stat().length, **checksum}


def _checksum_of(entry: dict[str, Any]) -> tuple[str, str]:
  """(algorithm, checksum) of a file in the manifest."""
  algorithm = "sha256" if "sha256" in entry else "md5"
  return algorithm, str(entry[algorithm])


def _difference(path: epath.Path, size: int, algorithm: str, checksum: str, read: bool) -> str:
  """Why a file is not the one of the manifest; empty where it is."""
  try:
    if not path.exists():
      return "missing"
    length = path.stat().length
    if length != size:
      return f"{length:,} bytes instead of {size:,}"
    if not read:
      return ""
    found = (_stored_md5(path) if algorithm == "md5" else None) or _digest(path, algorithm)
    return "" if found == checksum else f"its {algorithm.upper()} is not that of the manifest"
  except OSError as error:
    return f"not readable ({error.strerror or error})"


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
