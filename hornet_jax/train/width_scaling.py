"""Learning rates and initial values follow the width, so that what suits a narrow model suits all.

A model is compared with the same one at a base width, array by array: an axis that differs counts
channels. So no architecture needs a formula of its own.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import optax
from jaxtyping import Array

from hornet_jax.errors import InputError
from hornet_jax.models.param_info import ParamInfo, ParamInfoOf, map_block_params, path_name


@dataclasses.dataclass(frozen=True)
class WidthScaling:
  """A `WidthScaling` holds the factors of the parameters that have others than 1, by their paths.

  Attributes:
    rates: factors of the learning rates.
    initial: factors of the initial values.
  """

  rates: Mapping[str, float] = dataclasses.field(default_factory=dict)
  initial: Mapping[str, float] = dataclasses.field(default_factory=dict)

  def scale_initial(self, params: Any) -> Any:
    """Scales what a model was initialised with."""
    return _scaled(params, self.initial)

  def scale_updates(self) -> optax.GradientTransformation:
    """Makes the scaling of what Adam gives.

    It belongs before weight decay, which it leaves alone: learning rate times decay is then the
    same at every width.
    """
    return optax.stateless(lambda updates, params: _scaled(updates, self.rates))


UNSCALED = WidthScaling()
"""The standard parametrization: every factor is 1."""


def maximal_update(param_info: ParamInfoOf, params: Any, base_params: Any) -> WidthScaling:
  """Gives muP for Adam, relative to a model of the base width, which is left as it is.

  With r = fan-in at the base width / fan-in, a matrix whose inputs and outputs grow has r times
  the learning rate and sqrt(r) times the initial values; one whose inputs alone grow, such as a
  head, r times both. All else, whose fan-in does not grow, has the same at every width: stems,
  depthwise kernels, spectral filters, norms, layer scales, biases, tables of positions.

  Source: arXiv 2203.03466, table 3, for Adam. The multiplier of the head in its table 8 is for
  Adam the same as r times initial values and learning rate.
  Deviation: the head is not initialised to zero, so that the base model is the one without muP.
  Heads of attention keep their width, so that its products are scaled by 1 / sqrt(D) as ever.

  Args:
    param_info: description of the architecture's parameters.
    params: arrays of the model, or what describes them; blocks apart or stacked.
    base_params: those of the same model at the base width, in the same form.

  Raises:
    InputError: if they are not those of the same model.
  """
  if [path for path, _ in _by_path(params)] != [path for path, _ in _by_path(base_params)]:
    raise InputError(
      "`optimizer.base_width` must give the same model with other widths: expected the same "
      f"parameters, got {len(jax.tree.leaves(base_params))} arrays instead of "
      f"{len(jax.tree.leaves(params))}."
    )
  growth = map_block_params(_growth, param_info, params, base_params)
  rates, initial = {}, {}
  for path, (fan_in, fan_out) in _by_path(growth):
    if fan_in != 1:
      rates[path] = 1 / fan_in
      initial[path] = 1 / fan_in if fan_out == 1 else fan_in**-0.5
  return WidthScaling(rates, initial)


def power_rule(params: Any, growth: float, exponent: float) -> WidthScaling:
  """Gives all parameters one learning rate, growth^-exponent of that at the base width.

  Args:
    params: arrays of the model, or what describes them.
    growth: width / base width.
    exponent: exponent p, as it was fitted on narrow models.
  """
  factor = growth**-exponent
  return WidthScaling({path: factor for path, _ in _by_path(params)} if factor != 1 else {})


def _growth(infos: list[ParamInfo], leaf: Any, base_leaf: Any) -> tuple[float, float]:
  """Gives by what fan-in and fan-out of a matrix have grown; (1, 1) for anything else."""
  axis = infos[0].fan_in_axis
  if axis is None:
    return 1.0, 1.0
  return leaf.shape[axis] / base_leaf.shape[axis], leaf.shape[-1] / base_leaf.shape[-1]


def _by_path(tree: Any) -> list[tuple[str, Any]]:
  leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=lambda node: isinstance(node, tuple))
  return [(path_name(path), leaf) for path, leaf in leaves]


def _scaled(tree: Any, factors: Mapping[str, float]) -> Any:
  def scale(path: tuple[Any, ...], leaf: Array) -> Array:
    factor = factors.get(path_name(path), 1.0)
    return leaf if factor == 1 else leaf * factor

  return jax.tree_util.tree_map_with_path(scale, tree)
