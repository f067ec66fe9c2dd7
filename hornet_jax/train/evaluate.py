"""Accuracy over a whole split, every example counted once."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
from jax.sharding import Mesh

from hornet_jax.data.pipeline import Batch
from hornet_jax.train.mesh import batch_sharding, to_devices


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
    key: as the batches carried it, int [N]; None where they did not.
  """

  index: np.ndarray
  label: np.ndarray
  prediction: np.ndarray
  confidence: np.ndarray
  loss: np.ndarray
  rank: np.ndarray
  key: np.ndarray | None = None

  def metrics(self) -> dict[str, float]:
    """Mean loss, top-1 and top-5 accuracy; accuracies as fractions."""
    return {
      "loss": float(np.mean(self.loss, dtype=np.float64)),
      "top1": float(np.mean(self.rank < 1)),
      "top5": float(np.mean(self.rank < 5)),
    }

  def select(self, chosen: np.ndarray) -> "Predictions":
    """Those of some examples, bool [N]."""
    fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
    given = {name: values for name, values in fields.items() if values is not None}
    return Predictions(**{name: values[chosen] for name, values in given.items()})


def predict_split(
  eval_steps: Sequence[Callable[[dict[str, jax.Array]], dict[str, jax.Array]]],
  batches: Iterator[Batch],
  batch_size: int,
  mesh: Mesh,
) -> list[Predictions]:
  """Runs a split, read once, through several models, such as one with several weights.

  Results come back replicated, so every process holds those of the whole split and the
  sums do not depend on the mesh.

  Args:
    eval_steps: of each model: batch -> results, jitted, with replicated outputs.
    batches: this process's rows of the split's batches, padding of weight 0.
    batch_size: rows of the global batch.
    mesh: the devices.

  Returns:
    The results of each model.
  """
  sharding = batch_sharding(mesh)
  parts: list[list[dict[str, np.ndarray]]] = []
  running = None
  for batch in batches:
    placed = to_devices(batch, batch_size, sharding)
    dispatched = [eval_step(placed) for eval_step in eval_steps]
    # Fetched one batch late: the device stays busy and batches do not pile up on it.
    if running is not None:
      parts.append(jax.device_get(running))
    running = dispatched
  parts.append(jax.device_get(running))
  return [_counted(of_model) for of_model in zip(*parts, strict=True)]


def _counted(parts: Sequence[dict[str, np.ndarray]]) -> Predictions:
  """The rows that count."""
  results = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
  counted = results.pop("weight") > 0
  return Predictions(**{key: values[counted] for key, values in results.items()})
