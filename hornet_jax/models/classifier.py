"""This module gives a trained model a new head."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import Array, Key

from hornet_jax.errors import InputError
from hornet_jax.models.api import Architecture


def reset_classifier(
  model: Architecture,
  params: Mapping[str, Any],
  num_classes: int,
  key: Key[Array, ""],
  image_size: int | None = None,
) -> tuple[Architecture, dict[str, Any]]:
  """Gives a model a new head, initialised as the model initialises its own.

  Args:
    model: classifier of any number of classes, 0 included.
    params: the model's parameters, blocks apart; they are not changed.
    num_classes: number of classes K of the new head; 0 for none.
    key: random key for the head's weights.
    image_size: side of images that the model takes, in pixels; None for the smallest that leaves
      each stage a grid, which is right for models that take any size.

  Returns:
    The model for `num_classes`, and its parameters: the given arrays, not copies, except for
    the head.

  Raises:
    InputError: if `params` are not those of the model, it has no head or `num_classes`
      is no whole number.
  """
  if not isinstance(model, Architecture):
    raise InputError(
      f"`model` must be a classifier: got {type(model).__name__}, which has no head. Hint: the "
      "`model` of a FeatureMaps is one."
    )
  new_model = model.clone(num_classes=num_classes)

  def is_head(path: str) -> bool:
    return new_model.param_info(path).head

  def initialise(key: Key[Array, ""]) -> dict[str, Array]:
    side = image_size or max(feature.stride for feature in model.features())
    images = jnp.zeros((1, side, side, 3))
    alone = new_model.clone(execution=new_model.execution.off_mesh())
    params = alone.init(key, images)["params"]
    return traverse_util.flatten_dict(params, sep="/")

  wanted = jax.eval_shape(initialise, key)
  given = traverse_util.flatten_dict(dict(params), sep="/")
  # Widths alone: other axes may depend on the image size.
  expected = {path: leaf.shape[-1] for path, leaf in wanted.items() if not is_head(path)}
  if problems := _misfits(expected, given):
    raise InputError(
      f"`params` must be those of the model: {problems[0]}"
      f"{f' and {len(problems) - 1} more' if problems[1:] else ''}. Hint: "
      "model.init(key, images)['params']."
    )
  kept = {path: leaf for path, leaf in given.items() if path in expected}
  # The compiler drops what is drawn for all but the head.
  head = jax.jit(lambda key: {p: leaf for p, leaf in initialise(key).items() if is_head(p)})(key)
  return new_model, traverse_util.unflatten_dict(kept | head, sep="/")


def _misfits(expected: Mapping[str, int], given: Mapping[str, Any]) -> list[str]:
  problems = []
  for path, width in expected.items():
    if path not in given:
      problems.append(f"{path} is missing")
    elif given[path].shape[-1] != width:
      problems.append(f"{path} has width {given[path].shape[-1]} instead of {width}")
  return problems
