"""The training loop."""

import contextlib
import logging
import math
from collections.abc import Generator, Mapping
from typing import Any

import jax
from etils import epath

from hornet_jax.data.pipeline import Batch
from hornet_jax.errors import DivergedError, InputError, StalledError
from hornet_jax.models.stacking import unstack_blocks
from hornet_jax.train.checkpoint import Checkpoints
from hornet_jax.train.clock import Clock
from hornet_jax.train.executables import Executables
from hornet_jax.train.experiment import Experiment
from hornet_jax.train.files import make_folder
from hornet_jax.train.interrupt import StopRequest
from hornet_jax.train.mesh import batch_sharding, on_host, to_devices
from hornet_jax.train.metrics import MetricsLog
from hornet_jax.train.outcome import Evaluation, Outcome, Reached, evaluate_state
from hornet_jax.train.profile import traced
from hornet_jax.train.progress import Progress
from hornet_jax.train.rollback import Rollbacks
from hornet_jax.train.stall import watched
from hornet_jax.train.state import TrainState
from hornet_jax.train.workdir import (
  changed_settings,
  check_dataset,
  is_workdir,
  save_description,
)

_logger = logging.getLogger(__name__)


def train(
  config: Mapping[str, Any], workdir: epath.Path, devices: list[jax.Device] | None = None
) -> Outcome:
  """Trains what `config` describes, or goes on where the workdir's checkpoint stands.

  Args:
    config: nested, with the keys of configs/common.py.
    workdir: for checkpoints, metrics and the config; local or `gs://`.
    devices: those to use; None for all.

  Raises:
    InputError: if a setting is bad, the workdir belongs to another config or dataset, or all
      its checkpoints are damaged.
    DivergedError: if too many updates in a row were not finite.
    StorageError: if a checkpoint cannot be saved.
    StalledError: if a batch took longer than `data.stall_seconds`.
  """
  experiment = Experiment(config, devices)
  experiment.check_batch()
  changes = changed_settings(config, workdir)
  if is_workdir(workdir):
    check_dataset(experiment.train_split, workdir)
  else:
    experiment.check_start()
  make_folder(workdir)
  kept = config["checkpoint"]

  with Checkpoints(
    workdir / "checkpoints", kept["keep"], kept["keep_best"], kept["on_full_disk"]
  ) as checkpoints:
    _check_length(experiment, checkpoints)
    if jax.process_index() == 0:
      save_description(config, experiment.train_split, workdir)
    _announce(experiment, workdir, changes)
    start_step, state = _restore_or_create(experiment, checkpoints)
    log = MetricsLog(workdir, start_step, kept["on_full_disk"])
    try:
      executables = _executables(experiment, workdir)
      eval_step = experiment.compile_eval_step(executables)
      if start_step == experiment.total_steps:
        reached = Reached(start_step, state, evaluate_state(experiment, eval_step, state))
      else:
        train_step = experiment.compile_train_step(executables)
        reached = _train_with_rollbacks(
          experiment, checkpoints, log, train_step, eval_step, start_step, state
        )
    finally:
      log.close()
  step, evaluation = reached.step, reached.evaluation
  record = (step, experiment, log.records, log.seconds, step > start_step)
  if evaluation is None:
    return Outcome(*record, complete=False, interrupted=reached.interrupted)
  ema_params = unstack_blocks(on_host(reached.state.ema_params, experiment.mesh))
  return Outcome(*record, True, *evaluation, ema_params)


def _executables(experiment: Experiment, workdir: epath.Path) -> Executables | None:
  """Where compiled programs are kept, if the config says so."""
  if not experiment.config["checkpoint"]["executables"]:
    return None
  made_of = {
    "config": experiment.config,
    "classes": experiment.model.num_classes,
    "steps": experiment.total_steps,
  }
  return Executables(workdir / "executables", experiment.mesh.devices.flat, made_of)


def _check_length(experiment: Experiment, checkpoints: Checkpoints) -> None:
  step, total = checkpoints.latest_step, experiment.total_steps
  if step is not None and step > total:
    raise InputError(
      f"`epochs` must not end before the newest checkpoint: expected at least {step} steps, "
      f"got {total}. Hint: a run may grow; for a shorter one choose another --workdir."
    )


def _announce(experiment: Experiment, workdir: epath.Path, changes: list[str]) -> None:
  config = experiment.config
  devices = experiment.mesh.devices.flat
  params = jax.tree.leaves(experiment.abstract_state().params)
  _logger.info(
    "%s on %s: %s parameters, %d x %s, %d steps of %d images, workdir %s",
    config["model"]["variant"],
    config["data"]["dataset"],
    f"{sum(leaf.size for leaf in params):,}",
    len(devices),
    devices[0].device_kind,
    experiment.total_steps,
    config["data"]["batch_size"],
    workdir,
  )
  for change in changes:
    _logger.info("changed since the last start: %s", change)
    if change.startswith("epochs "):
      _logger.info("learning rate and averaging follow the new length from here on")


def _restore_or_create(experiment: Experiment, checkpoints: Checkpoints) -> tuple[int, TrainState]:
  step, total = checkpoints.latest_step, experiment.total_steps
  if step is None:
    state, notes = experiment.create_state()
    for note in notes:
      _logger.info("%s", note)
    return 0, state
  step, state = checkpoints.restore(experiment.abstract_state())
  if step == total:
    _logger.info("the run is complete: %d of %d steps are done", step, total)
  else:
    _logger.info("going on after step %d of %d", step, total)
  return step, state


def _train_with_rollbacks(
  experiment: Experiment,
  checkpoints: Checkpoints,
  log: MetricsLog,
  train_step,
  eval_step,
  start_step: int,
  state: TrainState,
) -> Reached:
  """Updates; where they break down and the config allows it, again from the last checkpoint."""
  rollbacks = Rollbacks(log.workdir)
  while True:
    batches = watched(
      experiment.train_batches(start_step + rollbacks.skipped_batches),
      experiment.config["data"]["stall_seconds"],
      experiment.readers,
    )
    batch_size = experiment.config["data"]["batch_size"]
    clock = Clock(log.workdir, start_step, batch_size, experiment.peak_rate())
    try:
      return _train_steps(
        experiment, checkpoints, log, clock, train_step, eval_step, batches, start_step, state
      )
    except DivergedError as error:
      checkpoints.wait()
      if checkpoints.latest_step is None or rollbacks.count >= experiment.max_rollbacks:
        raise
      start_step, state = checkpoints.restore(experiment.abstract_state())
      rollbacks.add(error.step, start_step, experiment.max_rollbacks)
      log.drop_after(start_step)


def _train_steps(
  experiment: Experiment,
  checkpoints: Checkpoints,
  log: MetricsLog,
  clock: Clock,
  train_step,
  eval_step,
  batches: Generator[Batch, None, None],
  start_step: int,
  state: TrainState,
) -> Reached:
  """Updates until the last step or a request to stop."""
  config = experiment.config
  total_steps, batch_size = experiment.total_steps, config["data"]["batch_size"]
  eval_every = max(experiment.steps_of(config["eval"]["every_epochs"]), 1)
  save_every = config["checkpoint"]["every_steps"]

  sharding = batch_sharding(experiment.mesh)
  undecodable: set[int] = set()
  pending: tuple[int, Any] | None = None
  evaluation: Evaluation | None = None
  steps = range(start_step + 1, total_steps + 1)
  marked = traced(steps, config["log"]["profile_steps"], log.workdir / "profile", clock)
  clock.start()
  with (
    contextlib.closing(batches),
    StopRequest() as stop,
    Progress(total_steps, start_step, batch_size) as progress,
    contextlib.closing(marked),
  ):
    for step in marked:
      try:
        with clock.waiting():
          batch = next(batches)
      except StalledError:
        if jax.process_count() == 1:  # the others are a step ahead, and wait
          if pending:
            _record(*pending, experiment, checkpoints, log, clock, progress)
          checkpoints.save(step - 1, state)
        raise
      undecodable.update(batch["index"][batch["weight"] == 0].tolist())
      too_many = len(undecodable) > config["data"]["max_undecodable"]
      if too_many:
        stop.ask()
      state, metrics = train_step(state, to_devices(batch, batch_size, sharding))
      progress.step()

      # The previous step's metrics are fetched while this step runs; its own only
      # where the state is about to be kept or judged.
      stopping = stop.reached(step) or step == total_steps
      evaluating = step == total_steps or step % eval_every == 0
      saving = stopping or evaluating or step % save_every == 0
      if pending:
        _record(*pending, experiment, checkpoints, log, clock, progress)
      pending = (step, metrics)
      if saving:
        _record(*pending, experiment, checkpoints, log, clock, progress)
        pending = None
      scores = None
      if evaluating:
        with clock.paused():
          evaluation = evaluate_state(experiment, eval_step, state)
        scores = evaluation[0]
        _log_evaluation(step, scores, log)
      if saving:
        clock.save(step)
        with clock.paused():
          checkpoints.save(step, state, scores)
      if stopping:
        break
  checkpoints.wait()
  if too_many:
    raise InputError(
      f"{len(undecodable)} images of {experiment.train_split.name} cannot be decoded; each is "
      f"named above; the run stands at step {step}. Hint: mend the files, or raise "
      "data.max_undecodable."
    )
  return Reached(step, state, evaluation if step == total_steps else None, stop.interrupted)


def _record(
  step: int,
  metrics: Mapping[str, jax.Array],
  experiment: Experiment,
  checkpoints: Checkpoints,
  log: MetricsLog,
  clock: Clock,
  progress: Progress,
) -> None:
  """Checks the metrics of a step, and logs them where a line is due.

  Raises:
    DivergedError: if `max_skipped_steps` updates in a row were not finite, or parameters after
      one that was.
  """
  values = {f"train/{name}": float(value) for name, value in metrics.items()}
  in_a_row = int(values.pop("train/skipped_in_a_row"))
  broken = [f"{name} {value}" for name, value in values.items() if not math.isfinite(value)]
  if in_a_row >= experiment.max_skipped_steps or (broken and not in_a_row):
    good = checkpoints.latest_step
    raise DivergedError(
      f"step {step} must give finite numbers: got {', '.join(broken)}; steps skipped in a row: "
      f"{in_a_row}. The last good checkpoint is {'none' if good is None else f'step {good}'}. "
      "Hint: lower optimizer.learning_rate or optimizer.clip_norm, or lengthen "
      "optimizer.warmup_epochs, in a new workdir; or let it go back: optimizer.max_rollbacks.",
      step,
    )
  if broken:
    _logger.warning("step %d skipped: %s, %d in a row", step, ", ".join(broken), in_a_row)
  if step % experiment.config["log"]["every_steps"] == 0 or step == experiment.total_steps:
    values |= {f"train/{name}": value for name, value in clock.read(step).items()}
    # JSON has no NaN.
    log.write(step, {name: value for name, value in values.items() if math.isfinite(value)})
    progress.report(step, values)


def _log_evaluation(step: int, metrics: Mapping[str, float], log: MetricsLog) -> None:
  log.write(step, metrics)
  _logger.info(
    "step %d: accuracy %.2f %%, with averaged weights %.2f %%",
    step,
    100 * metrics["eval/top1"],
    100 * metrics["eval_ema/top1"],
  )
