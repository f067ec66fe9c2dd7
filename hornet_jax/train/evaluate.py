"""Accuracy over a whole split, every example counted once."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from hornet_jax.data.pipeline import Batch
from hornet_jax.train.sharding import batch_sharding, to_devices


@dataclasses.dataclass(frozen=True)
class Predictions:
  """Results of every decodable example of a split, in its order.

  Attributes:
    index: the example's number in the split, int [N].
    label: true classes, int [N].
    prediction: predicted classes, int [N].
    confidence: probability of the predicted class, float32 [N].
    loss: cross-entropy, float32 [N].
    rank: number of classes that scored above the true one, int [N].
  """

  index: np.ndarray
  label: np.ndarray
  prediction: np.ndarray
  confidence: np.ndarray
  loss: np.ndarray
  rank: np.ndarray

  def metrics(self) -> dict[str, float]:
    """Mean loss, top-1 and top-5 accuracy; accuracies as fractions."""
    return {
      "loss": float(np.mean(self.loss, dtype=np.float64)),
      "top1": float(np.mean(self.rank < 1)),
      "top5": float(np.mean(self.rank < 5)),
    }


def predict_split(
  eval_step: Callable[[Any, dict[str, jax.Array]], dict[str, jax.Array]],
  params: Any,
  batches: Iterable[Batch],
  batch_size: int,
  mesh: Mesh,
) -> Predictions:
  """Runs a split through the model.

  Results come back replicated, so every process holds those of the whole split and the
  sums do not depend on the mesh.

  Args:
    eval_step: jitted, with replicated outputs.
    params: of the model.
    batches: this process's rows of the split's batches, padding of weight 0.
    batch_size: rows of the global batch.
    mesh: the devices.
  """
  sharding = batch_sharding(mesh)
  parts: list[dict[str, np.ndarray]] = []
  running = None
  for batch in batches:
    dispatched = eval_step(params, to_devices(batch, batch_size, sharding))
    # Fetched one batch late: the device stays busy and batches do not pile up on it.
    if running is not None:
      parts.append(jax.device_get(running))
    running = dispatched
  parts.append(jax.device_get(running))
  results = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
  counted = results.pop("weight") > 0
  return Predictions(**{key: values[counted] for key, values in results.items()})
