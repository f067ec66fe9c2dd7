"""Compiled programs, kept in the workdir: a restart loads them instead of compiling again."""

import functools
import hashlib
import json
import logging
import os
import pathlib
import pickle
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jaxlib
from etils import epath
from jax.experimental import serialize_executable

import hornet_jax
from hornet_jax.errors import FullDiskError, InputError
from hornet_jax.train.files import make_folder, write_file
from hornet_jax.train.mesh import wait_for_all
from hornet_jax.versions import versions

_logger = logging.getLogger(__name__)

_CANNOT_KEEP = (
  InputError,
  FullDiskError,
  NotImplementedError,
  ValueError,
  pickle.PicklingError,
  jax.errors.JaxRuntimeError,
)

Compile = Callable[[], jax.stages.Compiled]


class Executables:
  """The programs of a run on its devices, one file for each program and process.

  A file is used only where everything that made it is as it was: versions, source code,
  settings, devices; what differs is said in one line, and the program is compiled. As JAX
  unpickles what it loads, a file is as trustworthy as the code beside it: only `train` reads
  those of its own workdir.
  """

  def __init__(self, folder: epath.Path, devices: Iterable[jax.Device], settings: Mapping):
    """Describes what programs depend on.

    Args:
      folder: of the files; made when there is one to write.
      devices: all that the programs run on.
      settings: of JSON types, whatever else the programs are made of.
    """
    self._folder = folder
    self._devices = list(devices)
    self._made_of = made_of(self._devices, settings)

  def get(self, name: str, compile_program: Compile) -> jax.stages.Compiled:
    """Loads a program, or compiles it and keeps it."""
    path = self._folder / f"{name}.{jax.process_index()}"
    begin = time.perf_counter()
    try:
      program = self._load(path)
    except (OSError, ValueError) as error:
      if path.exists():
        _logger.info("%s is compiled anew: %s", name, error)
    else:
      _logger.info("%s loaded in %.1f s", name, time.perf_counter() - begin)
      return program
    program = compile_program()
    _logger.info("%s compiled in %.0f s", name, time.perf_counter() - begin)
    self._save(path, program)
    return program

  def _load(self, path: epath.Path) -> jax.stages.Compiled:
    """Raises ValueError, with the reason, where the file is not to be used."""
    header, _, content = path.read_bytes().partition(b"\n")
    try:
      kept = json.loads(header)
      digest, before = kept["sha256"], kept["made_of"]
    except (ValueError, TypeError, KeyError) as error:
      raise ValueError(f"{path} is no kept program") from error
    differing = [key for key in self._made_of if before.get(key) != self._made_of[key]]
    if differing:
      raise ValueError("; ".join(_difference(k, before, self._made_of) for k in differing))
    if hashlib.sha256(content).hexdigest() != digest:
      raise ValueError(f"{path} is damaged")
    try:
      serialized, in_tree, out_tree = pickle.loads(content)
      return serialize_executable.deserialize_and_load(
        serialized, in_tree, out_tree, execution_devices=self._devices
      )
    except jax.errors.JaxRuntimeError as error:
      raise ValueError(f"{path} cannot be loaded: {error}") from error

  def _save(self, path: epath.Path, program: jax.stages.Compiled) -> None:
    try:
      content = pickle.dumps(serialize_executable.serialize(program))
      header = {"sha256": hashlib.sha256(content).hexdigest(), "made_of": self._made_of}
      make_folder(path.parent)
      write_file(path, json.dumps(header).encode() + b"\n" + content)
    except _CANNOT_KEEP as error:
      # A backend or a disk that cannot: the next start compiles again.
      _logger.warning("%s is not kept: %s", path.name, error)


def ready(name: str, compile_program: Compile, kept: Executables | None) -> jax.stages.Compiled:
  """A program, from what is kept if anything is, once all processes have it."""
  program = kept.get(name, compile_program) if kept else compile_program()
  wait_for_all("compiled")
  return program


def made_of(devices: Sequence[jax.Device], settings: Mapping) -> dict[str, str]:
  """Everything that a compiled program depends on, by name."""
  first = devices[0]
  described = [(d.id, d.process_index, d.device_kind) for d in devices]
  cpu = {"processor": cpu_features()} if first.platform == "cpu" else {}
  flags = {name: os.environ.get(name, "") for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS")}
  return {
    **versions(),
    "jaxlib": jaxlib.__version__,
    "source code": _source_hash(),
    "platform": first.client.platform_version,
    **cpu,
    "devices": _hash(described),
    "settings": _hash(settings),
    "settings of JAX": _hash(
      {name: str(value) for name, value in jax.config.values.items() if "cache" not in name}
    ),
    **flags,
  }


def _difference(key: str, before: Mapping[str, str], now: Mapping[str, str]) -> str:
  hashed = len(now[key]) == 64 or key == "processor"
  return f"other {key}" if hashed else f"{key} was {before.get(key)!r} and is {now[key]!r}"


def _hash(content: Any) -> str:
  return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@functools.cache
def _source_hash() -> str:
  """Of every file of this package."""
  root = pathlib.Path(hornet_jax.__file__).parent
  digest = hashlib.sha256()
  for path in sorted(root.rglob("*.py")):
    digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
  return digest.hexdigest()


@functools.cache
def cpu_features() -> str:
  """A hash of what instructions the processor has: code for one crashes on another."""
  try:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    flags = next(line for line in lines if line.startswith(("flags", "Features")))
  except (OSError, StopIteration):
    flags = platform.processor()
  return hashlib.sha256(f"{platform.machine()} {flags}".encode()).hexdigest()[:16]
