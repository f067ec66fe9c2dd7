"""The training loop."""

import contextlib
import logging
import math
from collections.abc import Generator, Mapping
from typing import Any, NamedTuple

import jax

from hornet_jax.checkpoints.manager import Checkpoints
from hornet_jax.checkpoints.train_state import TrainState
from hornet_jax.data.pipeline import Batch
from hornet_jax.errors import DIVERGED, DivergedError, InputError, StalledError
from hornet_jax.lock import Lock
from hornet_jax.parallel.mesh import batch_sharding, to_devices
from hornet_jax.runs.clock import Clock
from hornet_jax.runs.metrics import MetricsLog
from hornet_jax.runs.preemption import StopRequest
from hornet_jax.runs.profile import traced
from hornet_jax.runs.progress import Progress
from hornet_jax.runs.rollback import Rollbacks
from hornet_jax.runs.timeout import with_timeout
from hornet_jax.train.evaluate import Evaluation, evaluate_state
from hornet_jax.train.input_pipeline import InputPipeline
from hornet_jax.train.loop_result import LoopResult
from hornet_jax.train.ranking import EVAL, EVAL_EMA
from hornet_jax.train.trainer import Trainer

_logger = logging.getLogger(__name__)


class Run(NamedTuple):
  """This is what stays the same from step to step."""

  trainer: Trainer
  inputs: InputPipeline
  checkpoints: Checkpoints
  log: MetricsLog
  lock: Lock
  began: float
  train_step: Any
  eval_step: Any


def train_with_rollbacks(run: Run, start_step: int, state: TrainState) -> LoopResult:
  """Trains to the end; after a breakdown, from the last checkpoint if the config allows it."""
  trainer, checkpoints, log = run.trainer, run.checkpoints, run.log
  rollbacks = Rollbacks(log.workdir)
  while True:
    batches = with_timeout(
      rollbacks.batches(start_step, run.inputs.train_batches),
      trainer.config["data"]["stall_seconds"],
      run.inputs.readers,
    )
    batch_size = trainer.config["data"]["batch_size"]
    clock = Clock(log.workdir, start_step, batch_size, trainer.peak_rate(), run.began)
    try:
      return _train_steps(run, clock, batches, start_step, state)
    except DivergedError as error:
      checkpoints.wait()
      if checkpoints.latest_step is None or rollbacks.count >= trainer.max_rollbacks:
        raise
      start_step, state = checkpoints.restore(trainer.abstract_state())
      rollbacks.add(error.step, start_step, trainer.max_rollbacks)
      log.drop_after(start_step)


def _train_steps(
  run: Run,
  clock: Clock,
  batches: Generator[Batch, None, None],
  start_step: int,
  state: TrainState,
) -> LoopResult:
  """Updates until the last step or a request to stop."""
  trainer, checkpoints, log = run.trainer, run.checkpoints, run.log
  config = trainer.config
  total_steps, batch_size = trainer.total_steps, config["data"]["batch_size"]
  eval_every = max(trainer.steps_of(config["eval"]["every_epochs"]), 1)
  save_every = config["checkpoint"]["every_steps"]

  sharding = batch_sharding(trainer.mesh)
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
        done = step - 1
        if done > start_step and jax.process_count() == 1:  # others are a step ahead, and wait
          if pending:
            _record(*pending, run, clock, progress)
          run.lock.check()
          clock.save(done)
          checkpoints.save_last(done, state)
        raise
      undecodable.update(batch["index"][batch["weight"] == 0].tolist())
      too_many = len(undecodable) > config["data"]["max_undecodable"]
      if too_many:
        stop.ask()
      state, metrics = run.train_step(state, to_devices(batch, batch_size, sharding))
      progress.step()

      # The previous step's metrics are fetched while this step runs; its own only
      # where the state is about to be kept or judged.
      stopping = stop.reached(step) or step == total_steps
      evaluating = step == total_steps or step % eval_every == 0
      due = step % save_every == 0 or step in trainer.branch_steps
      saving = stopping or evaluating or due
      if pending:
        _record(*pending, run, clock, progress)
      pending = (step, metrics)
      if saving:
        _record(*pending, run, clock, progress)
        pending = None
      scores = None
      if evaluating:
        with clock.paused():
          evaluation = evaluate_state(trainer, run.inputs, run.eval_step, state)
        scores = evaluation[0]
        _log_evaluation(step, scores, run)
      if saving:
        run.lock.check()
        clock.save(step)
        with clock.paused():
          save = checkpoints.save_last if stopping else checkpoints.save
          save(step, state, scores)
      if stopping:
        break
  if too_many:
    raise InputError(
      f"{len(undecodable)} images of {run.inputs.splits.train.name} cannot be decoded; each is "
      f"named above; the run stands at step {step}. Hint: mend the files, or raise "
      "data.max_undecodable."
    )
  return LoopResult(step, state, evaluation if step == total_steps else None, stop.by, stop.status)


def _record(
  step: int, metrics: Mapping[str, jax.Array], run: Run, clock: Clock, progress: Progress
) -> None:
  """Checks the metrics of a step, and logs them where a line is due.

  Raises:
    DivergedError: if `max_skipped_steps` updates in a row were not finite, or parameters after
      one that was.
  """
  trainer = run.trainer
  values = {f"train/{name}": float(value) for name, value in metrics.items()}
  in_a_row = int(values.pop("train/skipped_in_a_row"))
  broken = [f"{name} {value}" for name, value in values.items() if not math.isfinite(value)]
  if in_a_row >= trainer.max_skipped_steps or (broken and not in_a_row):
    good = run.checkpoints.latest_step
    raise DivergedError(
      f"step {step} {DIVERGED}: got {', '.join(broken)}; steps skipped in a row: "
      f"{in_a_row}. The last good checkpoint is {'none' if good is None else f'step {good}'}. "
      "Hint: lower optimizer.learning_rate or optimizer.clip_norm, or lengthen "
      "optimizer.warmup_epochs, in a new workdir; or let it go back: optimizer.max_rollbacks.",
      step,
    )
  if broken:
    _logger.warning("step %d skipped: %s, %d in a row", step, ", ".join(broken), in_a_row)
  if step % trainer.config["log"]["every_steps"] == 0 or step == trainer.total_steps:
    of_step = clock.read(step) | trainer.images_by(step)
    values |= {f"train/{name}": value for name, value in of_step.items()}
    # JSON has no NaN.
    run.log.write(step, {name: value for name, value in values.items() if math.isfinite(value)})
    progress.report(step, values)


def _log_evaluation(step: int, metrics: Mapping[str, float], run: Run) -> None:
  run.log.write(step, metrics)
  score = run.trainer.task.scores[0]
  averaged = ""
  if run.trainer.step_settings().averages:
    averaged = f", with averaged weights {score.text(metrics, EVAL_EMA)}"
  _logger.info("step %d: %s %s%s", step, score.meaning, score.text(metrics, EVAL), averaged)
