"""The path of a parameter tells what it is: one table replaces lists of names elsewhere."""

import dataclasses
import enum
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax

from hornet_jax.errors import InputError
from hornet_jax.models.stacking import block_paths, is_stacked


class Role(enum.Enum):
  """A role is what a parameter does in the computation.

  FSDP cuts matrices into parts, and gathers matrices and stems; weight decay leaves out norms,
  layer scales and biases; a model for images of other channel counts has another stem.
  """

  STEM = "kernel of the first convolution, whose inputs are the colours"
  MATRIX = "kernel of a linear layer or a patch convolution"
  DEPTHWISE = "kernel of a depthwise convolution"
  SPECTRAL = "filter of a spectrum"
  NORM = "scale of a norm"
  LAYER_SCALE = "layer scale"
  BIAS = "bias, or another table that is added, such as that of positions"


@dataclasses.dataclass(frozen=True)
class ParamInfo:
  """A `ParamInfo` is what an architecture says of one parameter.

  Attributes:
    role: kind of the parameter.
    fan_in_axis: axis of a matrix that its product with the activations sums over, counted from
      the end, such as -2 of a kernel [in, out]; None for anything else. FSDP cuts the array along
      it.
    head: whether it belongs to a layer that makes classes, which is computed in float32 and
      replaced where the classes are others; its last axis is that of the classes, see
      `columns_of`.
    neck: whether it belongs to what a task has between backbone and such layers: it stays where
      the classes are others.
    layer: number of its layer for layer decay, from 0; None where the architecture has none.
    num_layers: number of layers for layer decay; 0 where the architecture has none.
    stage: number of its stage, from 1; 0 for what lies before and between stages; None for what
      lies behind them, such as a head.
    per_class: entries that the last axis of a head has for each class, side by side, such as the
      four numbers of a box.
    of_no_class: entries that it has behind them, such as that of the background.
  """

  role: Role
  fan_in_axis: int | None = None
  head: bool = False
  neck: bool = False
  layer: int | None = None
  num_layers: int = 0
  stage: int | None = None
  per_class: int = 1
  of_no_class: int = 0

  @property
  def of_task(self) -> bool:
    """Tells whether a task put it on the backbone, so that another task has no such parameter."""
    return self.head or self.neck

  def columns_of(self, classes: Sequence[int], count: int) -> list[int]:
    """Lists the entries on the last axis of a head that are of some classes, and those of no class.

    Args:
      classes: numbers of the classes.
      count: number K of classes that the head has.
    """
    of_classes = [k * self.per_class + i for k in classes for i in range(self.per_class)]
    return of_classes + [count * self.per_class + i for i in range(self.of_no_class)]


ParamInfoOf = Callable[[str], ParamInfo]
"""Path of a parameter, its blocks apart, -> what it is: `Architecture.param_info`."""

# How the layers of this package name their parameters; the first that matches counts.
_LAYERS = (
  (re.compile(r"(^|/)(dwconv|dw)/kernel$"), ParamInfo(Role.DEPTHWISE)),
  (re.compile(r"(^|/)filter_(re|im)$"), ParamInfo(Role.SPECTRAL)),
  (re.compile(r"(^|/)layer_scale\d*/scale$"), ParamInfo(Role.LAYER_SCALE)),
  (re.compile(r"(^|/)kernel$"), ParamInfo(Role.MATRIX, fan_in_axis=-2)),
  (re.compile(r"(^|/)scale$"), ParamInfo(Role.NORM)),
  (
    re.compile(r"(^|/)(bias|relative_bias|positions|class_position|class_token)$"),
    ParamInfo(Role.BIAS),
  ),
)


def layer_param_info(path: str) -> ParamInfo:
  """Tells what a parameter of this package's layers is, whatever they are part of.

  Args:
    path: path in a model, or in any part of one that holds the layer, such as `mlp/fc1/kernel`.

  Raises:
    InputError: if no layer has such a parameter.
  """
  for pattern, info in _LAYERS:
    if pattern.search(path):
      return info
  raise InputError(
    f"`path` must be that of a parameter: expected such as 'mlp/fc1/kernel', got {path!r}. "
    "Hint: an architecture with layers of its own describes them in its `param_info`."
  )


def map_params(
  function: Callable[[ParamInfo, Any], Any], param_info: ParamInfoOf, params: Any
) -> Any:
  """Maps `function(info, value)` over a tree of parameters.

  For stacked blocks `info` is that of the first block; the others differ in `layer` alone.
  """
  return map_block_params(lambda infos, leaf: function(infos[0], leaf), param_info, params)


def map_block_params(
  function: Callable[..., Any], param_info: ParamInfoOf, params: Any, *others: Any
) -> Any:
  """Maps `function(infos, value, *others)` over a tree of parameters.

  Args:
    function: function of a list of `ParamInfo`, one for each block of a stacked array and one
      for any other array; of the array; and of the leaves of `others` at the same path.
    param_info: function from a path to what the parameter is: `Architecture.param_info`.
    params: arrays or abstract arrays; blocks apart or stacked.
    others: trees of the same structure.
  """

  def apply(path: tuple[Any, ...], leaf: Any, *rest: Any) -> Any:
    name = path_name(path)
    names = block_paths(name, leaf.shape[0]) if is_stacked(path) else [name]
    return function([param_info(name) for name in names], leaf, *rest)

  return jax.tree_util.tree_map_with_path(apply, params, *others)


def path_name(path: tuple[Any, ...]) -> str:
  """Writes a path of a JAX tree as text, with slashes."""
  return jax.tree_util.keystr(path, simple=True, separator="/")
