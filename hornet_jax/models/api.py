"""The protocol `Architecture` is all that the rest of the package knows of a model."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float, Key, Num

from hornet_jax.models.execution import Execution
from hornet_jax.models.param_info import ParamInfo

AnyArray = Array | np.ndarray
"""An array on a device or on the host."""


@dataclasses.dataclass(frozen=True)
class FeatureInfo:
  """A `FeatureInfo` describes a feature map that a model can hand out.

  Attributes:
    name: key of the map in the second value of the model's `__call__`.
    channels: width C of the map.
    stride: pixels of the image from one position of the map to the next.
  """

  name: str
  channels: int
  stride: int


@dataclasses.dataclass(frozen=True)
class Picture:
  """A `Picture` holds parameters that a report draws, one small picture a channel.

  Attributes:
    title: heading in the report, such as `"Stage 0"`.
    kind: type of the values, `"kernel"` for weights of either sign over positions, `"spectrum"`
      for magnitudes over frequencies, the vertical ones in the order of the FFT.
    values: array [h, w, C].
  """

  title: str
  kind: Literal["kernel", "spectrum"]
  values: np.ndarray


@runtime_checkable
class Architecture(Protocol):
  """An architecture is a Flax module that classifies images and describes its parameters.

  The names `block_0`, `block_1`, ... belong to the equal blocks of a `Stage`, which has nothing
  beside them: where a loop runs over the blocks (`Execution.scan`), training stacks their
  parameters to one array with a leading axis, see `hornet_jax.models.stacking`. Blocks with other
  names, such as `layer_0`, are left alone; `stacks` then returns nothing. "Blocks apart" means
  that each has parameters of its own, not stacked.

  Files of weights hold other collections, such as batch statistics, beside the parameters;
  `hornet_jax.load` takes models without any.

  Attributes:
    num_classes: number of classes K; 0 for no head.
    execution: the way in which it is computed.
  """

  num_classes: int
  execution: Execution

  def __call__(
    self,
    images: Num[Array, "B H W C"],
    train: bool = False,
    keys: Key[Array, "B"] | None = None,
  ) -> tuple[Float[Array, "B K"], dict[str, Array]]:
    """Classifies normalised images; returns logits and a dictionary of named intermediates."""
    ...

  def features(self) -> tuple[FeatureInfo, ...]:
    """Lists the feature maps among the intermediates, from the finest on."""
    ...

  def stacks(self) -> Mapping[str, int]:
    """Maps the path of each run of equal blocks to their number."""
    ...

  def param_info(self, path: str) -> ParamInfo:
    """Tells what the parameter at a path is, such as `stage_0/block_1/mlp/fc1/kernel`."""
    ...

  def adapt(self, path: str, value: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    """Resizes a parameter to `shape` if it depends on the image size; else returns it as it is."""
    ...

  def pictures(self, params: Mapping[str, Any]) -> Sequence[Picture]:
    """Chooses what a report draws of the parameters: numpy arrays, blocks apart."""
    ...

  # What Flax gives every module.

  def init(self, rngs: Any, *args: Any, **kwargs: Any) -> Any:
    """Makes variables, see `flax.linen.Module.init`."""
    ...

  def apply(self, variables: Any, *args: Any, **kwargs: Any) -> Any:
    """Calls the module with variables, see `flax.linen.Module.apply`."""
    ...

  def clone(self, **updates: Any) -> "Architecture":
    """Copies the module with some fields changed, see `flax.linen.Module.clone`."""
    ...
