"""Loss functions: one value an example."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Integer

from hornet_jax.data.views.masks import IGNORED


def cross_entropy(
  logits: Float[Array, "B K"], labels: Int[Array, "B"], label_smoothing: float = 0.0
) -> Float[Array, "B"]:
  """-sum_k t_k log softmax(logits)_k, where t = (1 - s) onehot + s / K.

  Source: official engine, timm 0.4.12 `LabelSmoothingCrossEntropy`.
  """
  return soft_cross_entropy(logits, smoothed_targets(labels, logits.shape[-1], label_smoothing))


def soft_cross_entropy(
  logits: Float[Array, "B K"], targets: Float[Array, "B K"]
) -> Float[Array, "B"]:
  """-sum_k t_k log softmax(logits)_k for probabilities t.

  Source: official engine, timm 0.4.12 `SoftTargetCrossEntropy`.
  """
  return optax.softmax_cross_entropy(logits, targets)


def smoothed_targets(
  labels: Int[Array, "B"], num_classes: int, label_smoothing: float
) -> Float[Array, "B K"]:
  """(1 - s) onehot + s / K."""
  onehot = (labels[:, None] == jnp.arange(num_classes)[None]).astype(jnp.float32)
  return optax.smooth_labels(onehot, label_smoothing)


def pixel_losses(
  logits: Float[Array, "B H W K"], mask: Integer[Array, "B H W"]
) -> Float[Array, "B H W"]:
  """Computes the cross-entropy of each pixel, 0 where none counts.

  Args:
    logits: logits of each pixel.
    mask: class of each pixel; 255 where none counts.
  """
  counts = mask != IGNORED
  labels = jnp.where(counts, mask, 0).astype(jnp.int32)
  right = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
  return jnp.where(counts, jax.nn.logsumexp(logits, axis=-1) - right, 0.0)
