"""Trains one run in its workdir, from the lock to `result.json`."""

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
from etils import epath

from hornet_jax.checkpoints.manager import Checkpoints
from hornet_jax.checkpoints.train_state import TrainState
from hornet_jax.data.class_balance import describe, read_labels
from hornet_jax.data.datasets import Split
from hornet_jax.data.kinds import shares
from hornet_jax.errors import InputError
from hornet_jax.lock import Lock
from hornet_jax.models.stacking import unstack_blocks
from hornet_jax.parallel.mesh import on_host
from hornet_jax.paths import check_holds_checkpoints, check_reachable
from hornet_jax.runs.metrics import MetricsLog, newest_evaluation
from hornet_jax.runs.result import Ending, recorded
from hornet_jax.runs.workdir import (
  changed_settings,
  check_dataset,
  check_is_folder,
  check_shared,
  is_workdir,
  only_writer,
  save_description,
  with_fitted_settings,
)
from hornet_jax.train.branch import Branch
from hornet_jax.train.evaluate import evaluate_state
from hornet_jax.train.initial_state import InitialState
from hornet_jax.train.input_pipeline import InputPipeline
from hornet_jax.train.loop import Run, train_with_rollbacks
from hornet_jax.train.loop_result import LoopResult, Outcome
from hornet_jax.train.ranking import ranking_key
from hornet_jax.train.set_up import set_up
from hornet_jax.train.trainer import Trainer

_logger = logging.getLogger(__name__)


def train(
  config: Mapping[str, Any],
  workdir: epath.Path,
  devices: list[jax.Device] | None = None,
  on_complete: Callable[[Outcome], None] | None = None,
  on_error: Callable[[BaseException], None] | None = None,
  began: float | None = None,
  branch_from: epath.Path | None = None,
) -> Outcome:
  """Trains what `config` describes, or goes on where the workdir's checkpoint stands.

  The workdir is locked meanwhile; how the run ended is left in its `result.json`.

  Args:
    config: nested, with the keys of `config.schema`.
    workdir: folder for checkpoints, metrics and the config; local or `gs://`.
    devices: devices to use; None for all.
    on_complete: is called with the outcome of a complete run before `result.json` says so.
    on_error: is called with an error before `result.json` tells of it; it need not return.
    began: when this start of the run did, in seconds since 1970; None for now.
    branch_from: workdir of a run whose checkpoint a new run begins with, see
      `hornet_jax.train.branch`; None for none.

  Raises:
    InputError: if a setting is bad, the workdir belongs to another config or dataset, another
      run writes to it, or all its checkpoints are damaged.
    DivergedError: if too many updates in a row were not finite.
    StorageError: if a checkpoint cannot be saved or restored.
    StalledError: if a batch took longer than `data.stall_seconds`.
  """
  began = began or time.time()
  check_reachable(workdir)
  check_is_folder(workdir)
  check_holds_checkpoints(workdir)
  if is_workdir(workdir):
    config = with_fitted_settings(config, workdir)
  elif branch_from:
    config = with_fitted_settings(config, branch_from)
  trainer, inputs = set_up(config, devices)
  config = trainer.config
  trainer.check_batch()
  inputs.check_open_files()
  initial = InitialState(trainer, inputs.splits.train.class_names)
  if not is_workdir(workdir):
    initial.check()
  branch = Branch(branch_from, workdir) if branch_from else None
  if branch:
    branch.check(trainer, inputs.splits.train)
  with only_writer(workdir, is_first=jax.process_index() == 0) as lock:
    if branch and jax.process_index() == 0:
      branch.begin()
    check_shared(workdir)
    changes = changed_settings(config, workdir)
    if is_workdir(workdir):
      check_dataset(inputs.splits.train, workdir)
    retention = config["checkpoint"]
    with Checkpoints(
      workdir / "checkpoints",
      retention["keep"],
      retention["keep_best"],
      retention["on_full_disk"],
      lock,
      ranked_by=ranking_key(trainer.task),
      keep_steps=trainer.branch_steps,
    ) as checkpoints:
      _check_length(trainer, checkpoints)
      # From here on this start counts: what was refused before leaves the last result alone.
      with _recorded(trainer, workdir, lock, on_error) as ending:
        ending.saved_step = lambda: checkpoints.saved_step
        ending.images_by = trainer.images_by
        try:
          _announce(trainer, inputs.splits.train, workdir, changes)
          outcome = _run(trainer, inputs, initial, checkpoints, workdir, lock, ending, began)
        finally:
          checkpoints.settle()
        if outcome.complete and on_complete:
          lock.check()
          on_complete(outcome)
  return outcome


def _recorded(
  trainer: Trainer,
  workdir: epath.Path,
  lock: Lock,
  on_error: Callable[[BaseException], None] | None,
) -> contextlib.AbstractContextManager[Ending]:
  """Writes `result.json`; the first process does so for all."""
  if jax.process_index() != 0:
    return contextlib.nullcontext(Ending())
  return recorded(workdir, trainer.config, trainer.total_steps, lock, on_error)


def _run(
  trainer: Trainer,
  inputs: InputPipeline,
  initial: InitialState,
  checkpoints: Checkpoints,
  workdir: epath.Path,
  lock: Lock,
  ending: Ending,
  began: float,
) -> Outcome:
  """Trains in a workdir that is ours."""
  if jax.process_index() == 0:
    save_description(trainer.config, inputs.splits.train, workdir)
  start_step, state = _restore_or_create(trainer, initial, checkpoints)
  log = MetricsLog(workdir, start_step)
  try:
    eval_step = trainer.compile_eval_step(inputs.eval_batch_size, inputs.eval_schemas)
    if start_step == trainer.total_steps:
      last = evaluate_state(trainer, inputs, eval_step, state)
      reached = LoopResult(start_step, state, last)
    else:
      train_step = trainer.compile_train_step()
      run = Run(trainer, inputs, checkpoints, log, lock, began, train_step, eval_step)
      reached = train_with_rollbacks(run, start_step, state)
  finally:
    ending.metrics = newest_evaluation(log.records)
    log.close()
  step, evaluation = reached.step, reached.evaluation
  record = (step, trainer, inputs.splits, log.records, log.seconds, step > start_step)
  if evaluation is None:
    reason = f"stopped by {reached.stopped_by}, saved after step {step}"
    ending.stopped = reached.status, reason
    return Outcome(*record, complete=False, exit_status=reached.status)
  ending.metrics = evaluation[0]
  ema_params = unstack_blocks(on_host(reached.state.ema_params, trainer.mesh))
  return Outcome(*record, True, *evaluation, ema_params)


def _check_length(trainer: Trainer, checkpoints: Checkpoints) -> None:
  step, total = checkpoints.latest_step, trainer.total_steps
  if step is not None and step > total:
    raise InputError(
      f"`epochs` must not end before the newest checkpoint: expected at least {step} steps, "
      f"got {total}. Hint: a run may grow; for a shorter one choose another --workdir."
    )


def _announce(trainer: Trainer, split: Split, workdir: epath.Path, changes: list[str]) -> None:
  config = trainer.config
  devices = trainer.mesh.devices.flat
  params = jax.tree.leaves(trainer.abstract_state().params)
  _logger.info(
    "%s on %s: %s parameters, %d x %s, %d steps of %d images, workdir %s",
    config["model"]["variant"],
    config["data"]["dataset"],
    f"{sum(leaf.size for leaf in params):,}",
    len(devices),
    devices[0].device_kind,
    trainer.total_steps,
    config["data"]["batch_size"],
    workdir,
  )
  strength, weights = config["data"]["class_balance"], config["loss"]["class_weights"]
  if strength or weights:
    table = describe(split.class_names, read_labels(split), strength, weights)
    _logger.info("%s\n%s", split.name, table)
  kinds = trainer.task.kinds(split)
  if kinds is not None:
    _logger.info("%s: images are %s pixels", split.name, shares(trainer.task.schemas, kinds))
  for change in changes:
    _logger.info("changed since the last start: %s", change)
    if change.startswith("epochs "):
      _logger.info("learning rate and averaging follow the new length from here on")


def _restore_or_create(
  trainer: Trainer, initial: InitialState, checkpoints: Checkpoints
) -> tuple[int, TrainState]:
  step, total = checkpoints.latest_step, trainer.total_steps
  if step is None:
    state, notes = initial.create()
    for note in notes:
      _logger.info("%s", note)
    return 0, state
  step, state = checkpoints.restore(trainer.abstract_state())
  if step == total:
    _logger.info("the run is complete: %d of %d steps are done", step, total)
  else:
    _logger.info("going on after step %d of %d", step, total)
  return step, state
