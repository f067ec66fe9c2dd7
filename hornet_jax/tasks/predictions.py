"""What a classifier says of the examples of a split, and how often it is right."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from hornet_jax.tasks.confusion_rows import confusion_rows

_LARGEST_MATRIX = 1000  # classes


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
    key: number of the example as the batches carried it, int [N]; None where they did not.
  """

  index: np.ndarray
  label: np.ndarray
  prediction: np.ndarray
  confidence: np.ndarray
  loss: np.ndarray
  rank: np.ndarray
  key: np.ndarray | None = None

  def metrics(self) -> dict[str, float]:
    """Computes mean loss, top-1 and top-5 accuracy; accuracies as fractions."""
    return {
      "loss": float(np.mean(self.loss, dtype=np.float64)),
      "top1": float(np.mean(self.rank < 1)),
      "top5": float(np.mean(self.rank < 5)),
    }

  def mean_class_accuracy(self) -> float:
    """Computes the mean of the top-1 accuracies of the classes that occur, each counting alike."""
    _, label, count = np.unique(self.label, return_inverse=True, return_counts=True)
    return float(np.mean(np.bincount(label, self.rank < 1) / count))

  def select(self, chosen: np.ndarray) -> "Predictions":
    """Picks those of some examples, bool [N]."""
    fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
    given = {name: values for name, values in fields.items() if values is not None}
    return Predictions(**{name: values[chosen] for name, values in given.items()})


def per_class(predictions: Predictions, class_names: Sequence[str]) -> list[dict[str, object]]:
  """Makes a row for each class that occurs: accuracy, confidence and what it is taken for.

  Args:
    predictions: predictions on any set.
    class_names: names in the order of the labels.

  Returns:
    Rows in the order of the labels. `taken_for` is the most frequent wrong prediction,
    `times` how often it is.
  """
  rows = []
  shown = ("top1", "top5") if len(class_names) > 5 else ("top1",)
  for k in np.unique(predictions.label):
    part = predictions.select(predictions.label == k)
    wrong = part.prediction[part.rank >= 1]
    counts = np.bincount(wrong, minlength=1)
    rows.append(
      {
        "class": class_names[k],
        "images": len(part.label),
        **{name: value for name, value in part.metrics().items() if name in shown},
        "confidence": float(np.mean(part.confidence, dtype=np.float64)),
        "taken_for": class_names[int(counts.argmax())] if len(wrong) else "",
        "times": int(counts.max()),
      }
    )
  return rows


def confusion(predictions: Predictions, class_names: Sequence[str]) -> list[dict[str, object]]:
  """Counts how often each class was predicted for each true one.

  Args:
    predictions: predictions on any set.
    class_names: names in the order of the labels.

  Returns:
    The rows of the confusion matrix, a column a class; of more than 1,000 classes a row for each
    pair that occurs.
  """
  num_classes = len(class_names)
  pairs = predictions.label.astype(np.int64) * num_classes + predictions.prediction
  if num_classes > _LARGEST_MATRIX:
    return [
      {
        "true": class_names[pair // num_classes],
        "predicted": class_names[pair % num_classes],
        "images": int(count),
      }
      for pair, count in zip(*np.unique(pairs, return_counts=True), strict=True)
    ]
  counts = np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)
  return confusion_rows(counts, class_names)


class Accuracy:
  """The metric of a classifier: it keeps what was predicted for each example."""

  def __init__(self, parts: Iterable[Mapping[str, np.ndarray]] = (), has_top5: bool = True):
    """Starts with the results of some examples, part after part.

    Args:
      parts: results of examples.
      has_top5: whether there are more than five classes.
    """
    self._parts, self._has_top5 = list(parts), has_top5

  @property
  def count(self) -> int:
    """Number of examples gathered."""
    return sum(len(part["index"]) for part in self._parts)

  def update(self, results: Mapping[str, np.ndarray]) -> None:
    """Gathers the results of some examples."""
    self._parts.append(results)

  def merge(self, other: "Accuracy") -> "Accuracy":
    """Joins two, the examples of the other after its own."""
    return Accuracy([*self._parts, *other._parts], self._has_top5)

  def predictions(self) -> Predictions:
    """Gives the results of all examples."""
    names = self._parts[0]
    return Predictions(
      **{name: np.concatenate([part[name] for part in self._parts]) for name in names}
    )

  def compute(self) -> dict[str, float]:
    """Computes mean loss, top-1, top-5 and mean class accuracy; accuracies as fractions."""
    predictions = self.predictions()
    metrics = predictions.metrics() | {"mean_class_accuracy": predictions.mean_class_accuracy()}
    return metrics if self._has_top5 else {k: v for k, v in metrics.items() if k != "top5"}
