"""A checkpoint of one run is copied among those of another."""

import shutil

from etils import epath

from hornet_jax.checkpoints import manifest
from hornet_jax.checkpoints.retention import StepFolder
from hornet_jax.errors import InputError
from hornet_jax.files import retried


def copy_checkpoint(folder: StepFolder, directory: epath.Path) -> None:
  """Copies a checkpoint; a copy that was cut off lacks the manifest, and is made anew.

  Args:
    folder: folder of an intact checkpoint.
    directory: folder of the other run's checkpoints.

  Raises:
    InputError: if the original is gone or changes meanwhile.
    StorageError: if the storage fails; `FullDiskError` for lack of space.
  """
  target = directory / str(folder.step)

  def copy() -> None:
    if target.exists():
      target.rmtree()
    names = [name for name, _ in manifest.files_of(folder.path)]
    for name in (*names, manifest.NAME):  # what vouches for the others comes last
      (target / name).parent.mkdir(parents=True, exist_ok=True)
      with (folder.path / name).open("rb") as original, (target / name).open("wb") as duplicate:
        shutil.copyfileobj(original, duplicate)

  try:
    retried(f"copying {folder.path}", copy)
  except FileNotFoundError as error:
    raise InputError(
      f"the checkpoint of step {folder.step} must stay while it is copied: {error.filename} is "
      "gone. Hint: keep it by --config.checkpoint.branch_epochs in the run that it is of."
    ) from error
