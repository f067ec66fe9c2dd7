"""The checkpoints below a directory: which there are, which to trust, which to keep."""

import datetime
import json
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from etils import epath

from hornet_jax.checkpoints import manifest
from hornet_jax.checkpoints.manifest import Integrity
from hornet_jax.errors import StorageError
from hornet_jax.files import exists, read_file, retried, unreadable
from hornet_jax.paths import in_object_store

_logger = logging.getLogger(__name__)


class StepFolder(NamedTuple):
  """The folder of one checkpoint.

  Attributes:
    step: number of updates done.
    path: path of the folder.
  """

  step: int
  path: epath.Path

  @property
  def metrics(self) -> dict[str, float]:
    """The metrics of this step's evaluation; empty where there was none or they are damaged."""
    old = self.path / "metrics" / "metrics"  # where earlier versions kept them
    try:
      if exists(old):
        return dict(json.loads(read_file(old)))
      return dict(self._metadata()["custom_metadata"]["metrics"])
    except StorageError:
      raise  # else the best might be deleted as one that was never evaluated
    except (OSError, ValueError, KeyError, TypeError):
      return {}

  @property
  def saved(self) -> datetime.datetime | None:
    """The time at which Orbax committed it; None where that cannot be read."""
    try:
      seconds = self._metadata()["commit_timestamp_nsecs"] / 1e9
      return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
      return None

  def _metadata(self):
    return json.loads(read_file(self.path / "_CHECKPOINT_METADATA"))


def find_steps(directory: epath.Path) -> list[StepFolder]:
  """Every folder that is named like a step, oldest first; other names are nobody's business.

  Raises:
    InputError: if the directory must not be read by this user.
    StorageError: if the storage fails.
  """

  def list_folders() -> list[str]:
    if in_object_store(directory) and not directory.exists():
      return []
    return [path.name for path in directory.iterdir() if path.is_dir()]

  try:
    names = retried(f"listing {directory}", list_folders)
  except FileNotFoundError:
    return []
  except (PermissionError, NotADirectoryError) as error:
    raise unreadable(directory, error) from error
  steps = sorted(int(name) for name in names if name.isdecimal() and name == str(int(name)))
  return [StepFolder(step, directory / str(step)) for step in steps]


def by_score(steps: Sequence[StepFolder], ranked_by: str) -> list[StepFolder]:
  """Ranks those that were evaluated, the best first and of equals the newest.

  Args:
    steps: some of a directory.
    ranked_by: the name of the metric; higher is better.
  """
  ranked = sorted((folder.metrics.get(ranked_by, -np.inf), folder.step, folder) for folder in steps)
  return [folder for value, _, folder in reversed(ranked) if value > -np.inf]


def surplus(
  steps: Sequence[StepFolder],
  states: Mapping[int, Integrity],
  keep: int,
  keep_best: int = 0,
  ranked_by: str = "",
  keep_steps: Collection[int] = (),
) -> list[StepFolder]:
  """Those that may be deleted; never one without which nothing good would be left.

  The newest and the best are counted among the intact ones, so that damage never pushes a good
  checkpoint out; where none has a manifest, among those without. Damaged ones are never
  surplus, nor is one without a manifest that is newer than those kept.

  Args:
    steps: all of a directory.
    states: state of each of them.
    keep: number of newest ones to keep, at least 1.
    keep_best: number of best ones to keep besides.
    ranked_by: the name of the metric by which they are the best.
    keep_steps: steps to keep besides.
  """
  by_state = {
    state: [folder for folder in steps if states[folder.step] == state] for state in Integrity
  }
  sound = by_state[Integrity.INTACT] or by_state[Integrity.UNVERIFIED]
  newest = sorted(sound)[-keep:]
  best = by_score(sound, ranked_by)[:keep_best]
  kept = {folder.step for folder in (*newest, *best)} | set(keep_steps)
  return [
    folder
    for folder in steps
    if states[folder.step] != Integrity.DAMAGED
    and folder.step not in kept
    and folder.step < newest[0].step
  ]


def delete(folder: StepFolder) -> None:
  """Deletes a checkpoint, or of a link to one the link.

  A kill in between leaves a checkpoint without a manifest, which nobody trusts.
  """
  if os.path.islink(folder.path):
    folder.path.unlink()
    return
  (folder.path / manifest.NAME).unlink(missing_ok=True)
  folder.path.rmtree()


def states_of(
  steps: Sequence[StepFolder], damaged: Collection[int] = (), *, read: bool = False
) -> dict[int, Integrity]:
  """The state of every step.

  Args:
    steps: step folders to look at.
    damaged: steps that are known to be damaged.
    read: compare checksums; False for names and sizes alone.
  """
  return {
    folder.step: Integrity.DAMAGED
    if folder.step in damaged
    else manifest.check(folder.path, read=read).state
    for folder in steps
  }
