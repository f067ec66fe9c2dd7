"""Checkpoints of a run: saved in the background, restored on any mesh."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
from etils import epath
from orbax.checkpoint import v1 as ocp

from hornet_jax.errors import InputError
from hornet_jax.train.state import TrainState


class Checkpoints:
  """The checkpoints below one directory, one folder a step.

  Use as a context manager: leaving it waits for the save under way.
  """

  def __init__(self, directory: epath.Path, keep: int, keep_best: int = 0):
    """Opens the directory and clears what an interrupted save left there.

    Args:
      directory: local or `gs://`; made where it is missing.
      keep: number of newest checkpoints to keep.
      keep_best: number of best checkpoints to keep besides.
    """
    policies = ocp.training.preservation_policies
    self._checkpointer = ocp.training.Checkpointer(
      directory.resolve(),  # Orbax refuses relative paths, but only once it writes
      preservation_policy=policies.AnyPreservationPolicy(
        [
          policies.LatestN(keep),
          policies.BestN(get_metric_fn=_score, n=keep_best, keep_checkpoints_without_metrics=False),
        ]
      ),
      cleanup_tmp_directories=True,
    )
    self._pending: Any = None

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, *exc_info) -> None:
    self.wait()
    self._checkpointer.close()

  @property
  def latest_step(self) -> int | None:
    """Step of the newest complete checkpoint, or None."""
    latest = self._checkpointer.latest
    return None if latest is None else latest.step

  def save(self, step: int, state: TrainState, metrics: Mapping[str, float] | None = None) -> None:
    """Starts to write `state`; returns once it has been copied from the devices.

    Args:
      step: number of updates done.
      state: what to keep.
      metrics: of an evaluation of it, by which the best is found; None where there was none.

    Raises:
      Exception: what the previous save failed with, such as a full disk.
    """
    self.wait()
    self._pending = self._checkpointer.save_checkpointables_async(
      step, {"state": state}, force=True, metrics=metrics and dict(metrics)
    )

  def wait(self) -> None:
    """Returns once the save under way is complete; raises what it failed with."""
    pending, self._pending = self._pending, None
    if pending is not None:
      pending.result()

  def restore(self, abstract: TrainState) -> TrainState:
    """The newest checkpoint, laid out as `abstract` says.

    Args:
      abstract: shapes, types and shardings; the mesh may differ from the saved one's.
    """
    return self._checkpointer.load_checkpointables(None, {"state": abstract})["state"]


def load_params(
  directory: epath.Path, which: str | int = "last"
) -> tuple[int, dict[str, Any], dict[str, Any]]:
  """(step, params, ema_params) of a checkpoint, as numpy arrays.

  Args:
    directory: of the checkpoints.
    which: `"last"`, `"best"` (accuracy of the averaged weights) or a step.

  Raises:
    InputError: if the directory holds no such checkpoint; it names those that are there.
  """
  missing = InputError(
    f"`workdir` must hold a checkpoint: expected one in {directory}, found none. "
    "Hint: train first, or name the right --workdir."
  )
  if not directory.exists():
    raise missing
  with ocp.training.Checkpointer(directory.resolve()) as checkpointer:
    if checkpointer.latest is None:
      raise missing
    chosen = _choose(checkpointer.checkpoints, which)
    saved = checkpointer.checkpointables_metadata(chosen).metadata["state"]
    wanted = jax.tree.map(lambda leaf: ocp.PLACEHOLDER, saved)
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    for key in ("params", "ema_params"):
      wanted[key] = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), saved[key]
      )
    state = checkpointer.load_checkpointables(chosen, {"state": wanted})["state"]
  return chosen.step, jax.device_get(state["params"]), jax.device_get(state["ema_params"])


def _choose(checkpoints: Sequence[Any], which: str | int) -> Any:
  by_step = {checkpoint.step: checkpoint for checkpoint in checkpoints}
  evaluated = [checkpoint for checkpoint in checkpoints if checkpoint.metrics]
  if which == "last":
    return by_step[max(by_step)]
  if which == "best" and evaluated:
    return max(evaluated, key=lambda checkpoint: (_score(checkpoint.metrics), checkpoint.step))
  if str(which).isdecimal() and int(which) in by_step:
    return by_step[int(which)]
  steps = ", ".join(str(step) for step in sorted(by_step))
  raise InputError(
    "`checkpoint` must be last, best (of those evaluated and kept) or a step: expected one "
    f"of {steps}, got {which!r}."
  )


def _score(metrics: Mapping[str, float]) -> float:
  """By which checkpoints are ranked: higher is better."""
  return metrics["eval_ema/top1"]
