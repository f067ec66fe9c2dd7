"""Whether a checkpoint that was just saved can be restored, found out beside the training."""

import os
import pathlib
import subprocess
import sys

import jax
from etils import epath

import hornet_jax
from hornet_jax.checkpoints.restore import check_restorable


def is_restorable(path: epath.Path) -> bool:
  """Restores a checkpoint once, by the calling process alone.

  Orbax counts what the processes of a run do together: where there are several, what one of them
  does alone is done by a process of its own.

  Args:
    path: folder of the checkpoint, named by its step.

  Returns:
    True where it is; False where that was not found out, as a signal ended the other process.

  Raises:
    Exception: whatever Orbax raises where it cannot restore what it has saved.
  """
  if jax.process_count() == 1:
    check_restorable(path)
    return True
  root = os.fspath(pathlib.Path(hornet_jax.__file__).parents[1])
  child = subprocess.run(
    [sys.executable, "-m", "hornet_jax.checkpoints.restorable_child", os.fspath(path)],
    env=os.environ
    | {
      "JAX_PLATFORMS": "cpu",
      "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
    },
    stdin=subprocess.DEVNULL,
    capture_output=True,
    text=True,
    check=False,
    process_group=0,  # Ctrl-C is meant for the run
  )
  if child.returncode > 0:
    told = child.stdout.strip() or (child.stderr.splitlines() or ["no reason was given"])[-1]
    raise ValueError(told)
  return child.returncode == 0
