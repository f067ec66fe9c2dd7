"""Keeps what JAX compiles from one command to the next."""

import os
import pathlib

import jax

from hornet_jax.train.executables import cpu_features


def keep_compiled() -> None:
  """Turns JAX's persistent compilation cache on, unless its place was chosen already.

  The environment decides: JAX_COMPILATION_CACHE_DIR, which may be `gs://`, and
  JAX_ENABLE_COMPILATION_CACHE=false. Programs for a CPU hold the instructions that it has, and a
  home may be shared: each kind of processor has a folder.
  """
  if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
    base = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    folder = base / "hornet_jax" / "xla" / cpu_features()
    jax.config.update("jax_compilation_cache_dir", str(folder))
