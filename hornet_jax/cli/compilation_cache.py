"""The compilation cache keeps what JAX compiles from one command to the next."""

import hashlib
import pathlib
import platform

import jax

from hornet_jax.paths import cache_folder


def keep_compiled() -> None:
  """Turns JAX's persistent compilation cache on, unless the environment has decided.

  It does so by JAX_COMPILATION_CACHE_DIR, which may be `gs://`, or by
  JAX_ENABLE_COMPILATION_CACHE=false. Each kind of CPU has a folder of its own: programs use the
  instructions of the CPU that they were compiled on, and machines may share a home folder.
  """
  if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
    folder = cache_folder() / "xla" / _cpu_features()
    jax.config.update("jax_compilation_cache_dir", str(folder))


def _cpu_features() -> str:
  """Returns a hash of the instruction sets of the processor."""
  try:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    flags = next(line for line in lines if line.startswith(("flags", "Features")))
  except (OSError, StopIteration):
    flags = platform.processor()
  return hashlib.sha256(f"{platform.machine()} {flags}".encode()).hexdigest()[:16]
