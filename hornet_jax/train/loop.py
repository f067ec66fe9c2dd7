"""The training loop."""

import dataclasses
import logging
import math
import time
from collections.abc import Mapping
from typing import Any

import jax
from etils import epath

from hornet_jax.cost import count_params
from hornet_jax.errors import DivergedError, InputError
from hornet_jax.train.checkpoint import Checkpoints
from hornet_jax.train.evaluate import Predictions
from hornet_jax.train.experiment import Experiment
from hornet_jax.train.interrupt import StopRequest
from hornet_jax.train.metrics import MetricsLog, Record
from hornet_jax.train.progress import Progress
from hornet_jax.train.sharding import batch_sharding, to_devices
from hornet_jax.train.state import TrainState
from hornet_jax.train.workdir import check_and_save_config, save_class_names

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Outcome:
  """How a call of `train` ended.

  Attributes:
    step: number of updates done.
    complete: whether the run reached its last step.
    experiment: the objects of the run.
    ema_params: the averaged weights, on the host; None where the run is not complete.
    predictions: of the evaluation split with them; None likewise.
    records: of metrics.jsonl.
  """

  step: int
  complete: bool
  experiment: Experiment
  ema_params: Any
  predictions: Predictions | None
  records: list[Record]


def train(
  config: Mapping[str, Any], workdir: epath.Path, devices: list[jax.Device] | None = None
) -> Outcome:
  """Trains what `config` describes, or goes on where the workdir's checkpoint stands.

  Args:
    config: nested, with the keys of configs/common.py.
    workdir: for checkpoints, metrics and the config; local or `gs://`.
    devices: those to use; None for all.

  Raises:
    InputError: if a setting is bad or the workdir belongs to another config.
    DivergedError: if the loss or the gradient is not finite.
  """
  experiment = Experiment(config, devices)
  for change in check_and_save_config(config, workdir):
    _logger.info("changed since the last start: %s", change)
  save_class_names(experiment.train_split.class_names, workdir)
  _announce(experiment, workdir)

  with Checkpoints(workdir / "checkpoints", config["checkpoint"]["keep"]) as checkpoints:
    start_step, state = _restore_or_create(experiment, checkpoints)
    log = MetricsLog(workdir, start_step)
    try:
      step = start_step
      if start_step < experiment.total_steps:
        step, state = _train_steps(experiment, checkpoints, log, start_step, state)
      if step < experiment.total_steps:
        return Outcome(step, False, experiment, None, None, log.records)
    finally:
      log.close()
  eval_step = experiment.compile_eval_step()
  predictions = experiment.predict(eval_step, state.ema_params)
  ema_params = jax.device_get(state.ema_params)
  return Outcome(step, True, experiment, ema_params, predictions, log.records)


def _announce(experiment: Experiment, workdir: epath.Path) -> None:
  config = experiment.config
  devices = experiment.mesh.devices.flat
  _logger.info(
    "%s on %s: %s parameters, %d x %s, %d steps of %d images, workdir %s",
    config["model"]["variant"],
    config["data"]["dataset"],
    f"{count_params(experiment.abstract_state().params):,}",
    len(devices),
    devices[0].device_kind,
    experiment.total_steps,
    config["data"]["batch_size"],
    workdir,
  )


def _restore_or_create(experiment: Experiment, checkpoints: Checkpoints) -> tuple[int, TrainState]:
  step = checkpoints.latest_step
  if step is None:
    return 0, experiment.create_state()
  if step >= experiment.total_steps:
    _logger.info("the run is complete: %d of %d steps are done", step, experiment.total_steps)
  else:
    _logger.info("going on after step %d of %d", step, experiment.total_steps)
  return step, checkpoints.restore(experiment.abstract_state())


def _train_steps(
  experiment: Experiment,
  checkpoints: Checkpoints,
  log: MetricsLog,
  start_step: int,
  state: TrainState,
) -> tuple[int, TrainState]:
  """Updates until the last step or a request to stop; returns the step reached."""
  config = experiment.config
  total_steps, batch_size = experiment.total_steps, config["data"]["batch_size"]
  eval_every = max(experiment.steps_of(config["eval"]["every_epochs"]), 1)
  save_every = config["checkpoint"]["every_steps"]

  begin = time.perf_counter()
  train_step, eval_step = experiment.compile_train_step(), experiment.compile_eval_step()
  _logger.info("compiled in %.0f s", time.perf_counter() - begin)

  batches = experiment.train_batches(start_step)
  sharding = batch_sharding(experiment.mesh)
  undecodable = 0
  pending: tuple[int, Any] | None = None
  with StopRequest() as stop, Progress(total_steps, start_step, batch_size) as progress:
    for step in range(start_step + 1, total_steps + 1):
      batch = next(batches)
      undecodable += int((batch["weight"] == 0).sum())
      _check_undecodable(undecodable, config["data"]["max_undecodable"], experiment)
      state, metrics = train_step(state, to_devices(batch, batch_size, sharding))
      progress.step()

      # The previous step's metrics are fetched while this step runs; its own only
      # where the state is about to be kept or judged.
      stopping = stop.requested or step == total_steps
      saving = stopping or step % save_every == 0
      evaluating = step == total_steps or step % eval_every == 0
      if pending:
        _record(*pending, experiment, checkpoints, log, progress)
      pending = (step, metrics)
      if saving or evaluating:
        _record(*pending, experiment, checkpoints, log, progress)
        pending = None
      if evaluating:
        with progress.paused():
          _evaluate(experiment, eval_step, state, step, log)
      if saving:
        log.flush()
        checkpoints.save(step, state)
      if stopping:
        break
  checkpoints.wait()
  return step, state


def _record(
  step: int,
  metrics: Mapping[str, jax.Array],
  experiment: Experiment,
  checkpoints: Checkpoints,
  log: MetricsLog,
  progress: Progress,
) -> None:
  """Checks the metrics of a step, and logs them where a line is due.

  Raises:
    DivergedError: if the loss or the gradient is not finite.
  """
  values = {f"train/{name}": float(value) for name, value in metrics.items()}
  if not all(math.isfinite(values[name]) for name in ("train/loss", "train/grad_norm")):
    good = checkpoints.latest_step
    raise DivergedError(
      f"loss {values['train/loss']} and gradient norm {values['train/grad_norm']} at step "
      f"{step}: expected finite numbers. The last good checkpoint is "
      f"{'none' if good is None else f'step {good}'}. Hint: lower optimizer.learning_rate or "
      "optimizer.clip_norm, or lengthen optimizer.warmup_epochs, in a new workdir."
    )
  if step % experiment.config["log"]["every_steps"] == 0 or step == experiment.total_steps:
    values["train/images_per_second"] = progress.rate(step)
    log.write(step, values)
    progress.report(step, values)


def _evaluate(
  experiment: Experiment, eval_step, state: TrainState, step: int, log: MetricsLog
) -> None:
  """Logs the metrics of the evaluation split, with raw and with averaged weights."""
  values: dict[str, float] = {}
  for prefix, params in (("eval", state.params), ("eval_ema", state.ema_params)):
    metrics = experiment.predict(eval_step, params).metrics()
    values |= {f"{prefix}/{name}": value for name, value in metrics.items()}
  log.write(step, values)
  _logger.info(
    "step %d: accuracy %.2f %%, with averaged weights %.2f %%",
    step,
    100 * values["eval/top1"],
    100 * values["eval_ema/top1"],
  )


def _check_undecodable(count: int, limit: int, experiment: Experiment) -> None:
  if count > limit:
    raise InputError(
      f"more than {limit} images of {experiment.train_split.name} cannot be decoded; each is "
      "named above. Hint: mend the files, or raise data.max_undecodable."
    )
