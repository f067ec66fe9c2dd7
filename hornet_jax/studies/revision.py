"""Which code a trial was trained with."""

import functools
import pathlib
import subprocess

import hornet_jax

_ROOT = pathlib.Path(__file__).parents[2]


@functools.cache
def revision() -> str:
  """Gives the version of this package, and in a checkout the commit: `0.1.0+9fdf0c7`.

  A checkout with changes that are not committed ends with `-dirty`. It is read once a process.
  """
  if not (_ROOT / ".git").exists():  # installed, maybe within another checkout
    return hornet_jax.__version__
  command = ["git", "-C", str(_ROOT), "describe", "--always", "--dirty", "--exclude=*"]
  try:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
  except OSError:  # no git
    return hornet_jax.__version__
  commit = done.stdout.strip()
  return f"{hornet_jax.__version__}+{commit}" if commit else hornet_jax.__version__
