"""Loss functions: one value an example."""

from collections.abc import Sequence

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


def cross_entropy(
  logits: Float[Array, "B K"], labels: Int[Array, "B"], label_smoothing: float = 0.0
) -> Float[Array, "B"]:
  """-sum_k t_k log softmax(logits)_k, where t = (1 - s) onehot + s / K.

  Source: official engine, timm 0.4.12 `LabelSmoothingCrossEntropy`.
  """
  return soft_cross_entropy(logits, smoothed_targets(labels, logits.shape[-1], label_smoothing))


def soft_cross_entropy(
  logits: Float[Array, "B K"],
  targets: Float[Array, "B K"],
  class_weights: Sequence[float] = (),
) -> Float[Array, "B"]:
  """-sum_k w_k t_k log softmax(logits)_k for probabilities t.

  Source: official engine, timm 0.4.12 `SoftTargetCrossEntropy`; the weights as in PyTorch's
  `CrossEntropyLoss`, but for its mean over a batch, which divides by those that occur in it.

  Args:
    logits: logits of the classes.
    targets: probabilities of the classes.
    class_weights: weight w of each class; empty for 1.
  """
  if class_weights:
    targets = targets * jnp.asarray(class_weights, targets.dtype)[None]
  return optax.softmax_cross_entropy(logits, targets)


def smoothed_targets(
  labels: Int[Array, "B"], num_classes: int, label_smoothing: float
) -> Float[Array, "B K"]:
  """(1 - s) onehot + s / K."""
  onehot = (labels[:, None] == jnp.arange(num_classes)[None]).astype(jnp.float32)
  return optax.smooth_labels(onehot, label_smoothing)
