"""A branch is a run that begins where another one, its trunk, had a constant learning rate.

Until its cool-down begins a run does not know how long it is. So one trunk stands for the first
steps of all shorter runs: a branch takes the trunk's checkpoint of the step at which its own
cool-down begins, and goes on as the run would that had its length from the start, with the very
same numbers.
"""

from etils import epath

from hornet_jax.checkpoints.copying import copy_checkpoint
from hornet_jax.checkpoints.manifest import Integrity
from hornet_jax.checkpoints.retention import StepFolder, find_steps, states_of
from hornet_jax.data.datasets import Split
from hornet_jax.errors import InputError
from hornet_jax.paths import absolute
from hornet_jax.runs.branch_record import BranchRecord, read_branch_record, write_branch_record
from hornet_jax.runs.rollback import copy_rollbacks
from hornet_jax.runs.workdir import check_dataset, differing_settings, is_workdir, load_config
from hornet_jax.train.trainer import Trainer


class Branch:
  """A `Branch` prepares the workdir of a run that begins with a checkpoint of its trunk."""

  def __init__(self, trunk: epath.Path, workdir: epath.Path):
    """Reads nothing yet.

    Args:
      trunk: workdir of the run to branch off from.
      workdir: workdir of the run that begins.
    """
    self._trunk, self._workdir = absolute(trunk), workdir
    self._begin = StepFolder(0, trunk)

  def check(self, trainer: Trainer, train_split: Split) -> None:
    """Finds the checkpoint to begin with.

    Args:
      trainer: trainer of the branch.
      train_split: split that it trains on.

    Raises:
      InputError: if the trunk is another run but for its length, has no checkpoint of that step,
        or cools down before it; or the workdir is that of a run that did not branch off from it.
    """
    if is_workdir(self._workdir):
      self._check_goes_on()
      return
    if trainer.config["optimizer"]["schedule"] != "warmup_stable_decay":
      raise InputError(
        "`branch_from` must come with optimizer.schedule warmup_stable_decay: got "
        f"{trainer.config['optimizer']['schedule']}, whose first steps depend on the length."
      )
    self._check_same_run(trainer, train_split)
    step = trainer.cool_down_start()
    steps = find_steps(self._trunk / "checkpoints")
    states = states_of(steps)
    there = [folder for folder in steps if states[folder.step] == Integrity.INTACT]
    found = [folder for folder in there if folder.step == step]
    if not found:
      length = trainer.config["epochs"]
      raise InputError(
        f"`branch_from` {self._trunk} must have a checkpoint of step {step}, where a run of "
        f"{length:g} epochs begins to cool down: it has "
        f"{', '.join(str(folder.step) for folder in there) or 'none'}. Hint: train the trunk with "
        f"--config.checkpoint.branch_epochs=({length:g},)."
      )
    self._begin = found[0]

  def _check_goes_on(self) -> None:
    record = read_branch_record(self._workdir)
    trunk = record.trunk if record else "none"
    if trunk != str(self._trunk):
      raise InputError(
        f"`workdir` {self._workdir} must be new, or that of a branch of {self._trunk}: its trunk "
        f"is {trunk}. Hint: choose another --workdir."
      )

  def _check_same_run(self, trainer: Trainer, train_split: Split) -> None:
    differing = differing_settings(trainer.config, self._trunk)
    if differing:
      raise InputError(
        f"`branch_from` {self._trunk} must be the same run but for its length: "
        f"{'; '.join(differing)}. Hint: give the branch the trunk's settings, or train another "
        "trunk."
      )
    check_dataset(train_split, self._trunk)
    end = trainer.cool_down_start(load_config(self._trunk)["epochs"])
    if trainer.cool_down_start() > end:
      raise InputError(
        f"`epochs` must be at most those of the trunk {self._trunk}, which cools down itself after "
        f"step {end}: got a run that does after step {trainer.cool_down_start()}. Hint: train a "
        "longer trunk."
      )

  def begin(self) -> None:
    """Copies the checkpoint into the workdir, unless the run has begun before.

    What makes the folder a workdir comes afterwards, so that a start which is killed meanwhile
    counts for nothing.
    """
    if is_workdir(self._workdir):
      return
    step = self._begin.step
    copy_checkpoint(self._begin, absolute(self._workdir / "checkpoints"))
    copy_rollbacks(self._trunk, self._workdir, step)
    write_branch_record(self._workdir, BranchRecord(str(self._trunk), step))
