"""An `Execution` says how a model is computed, apart from what it computes."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from hornet_jax.errors import InputError, unknown_name
from hornet_jax.ops.fourier import check_fourier

DENSE_OUTPUT = "dense_output"
"""The name by which a remat policy knows the output of a linear layer."""

REMAT_POLICIES = {
  "full": jax.checkpoint_policies.nothing_saveable,
  "dense": jax.checkpoint_policies.save_only_these_names(DENSE_OUTPUT),
  "dots": jax.checkpoint_policies.dots_saveable,
}
REMAT = ("none", *REMAT_POLICIES)
"""What is recomputed in the backward pass, by name: nothing; everything inside each block;
all but the outputs of its linear layers; all but every matrix product, those of the Fourier
transforms too."""

GradientSum = Literal["compute", "float32"]


@dataclasses.dataclass(frozen=True)
class Execution:
  """An execution says how a model is computed; results of any two differ by rounding alone.

  Attributes:
    dtype: type of the computation; parameters and logits are float32.
    depthwise: implementation of depthwise convolutions, see `hornet_jax.ops.depthwise_conv`.
    fourier: implementation of Fourier transforms, see `hornet_jax.ops.fourier`.
    gradient_sum: type of the gradients of linear kernels, in which they are summed over the
      batch and over devices: `"compute"` for `dtype`, or `"float32"`.
    remat: name in `REMAT` of what each block recomputes in the backward pass.
    scan: whether the equal blocks of a stage are compiled once, see `Stage`.
    batch_axes: mesh axes that the examples of a batch are spread over, see `constrain_batch`.
    fsdp: whether kernels lie in parts on the devices, see `gather_kernels`; needs `scan`.

  Raises:
    InputError: if a name is unknown, or `fsdp` comes without `scan`.
  """

  dtype: DTypeLike = jnp.float32
  depthwise: str = "auto"
  fourier: str = "dft"
  gradient_sum: str = "compute"
  remat: str = "none"
  scan: bool = False
  batch_axes: tuple[str, ...] = ()
  fsdp: bool = False

  def __post_init__(self) -> None:
    """Checks the names, and the fields against each other."""
    check_fourier(self.fourier)
    check_remat(self.remat)
    if self.gradient_sum not in get_args(GradientSum):
      raise unknown_name("gradient_sum", self.gradient_sum, get_args(GradientSum))
    if self.fsdp and not self.scan:
      raise InputError("`fsdp` must come with `scan`: expected scan=True, got False.")

  @property
  def kernel_dtype(self) -> DTypeLike:
    """Gives the type in which linear kernels are passed to their layers, and of their gradients."""
    return jnp.float32 if self.gradient_sum == "float32" else self.dtype

  def off_mesh(self) -> "Execution":
    """Gives the same execution on one device: shapes and initial parameters need no mesh."""
    return dataclasses.replace(self, batch_axes=(), fsdp=False)


SETTINGS = {
  "global_filter" if field.name == "fourier" else field.name: field.name
  for field in dataclasses.fields(Execution)
}
"""Key of `config.model` and keyword of `create_model` -> field of `Execution`."""


def split_settings(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
  """Divides the settings of a model into fields of `Execution` and fields of the architecture."""
  of_execution = {SETTINGS[key]: value for key, value in settings.items() if key in SETTINGS}
  of_architecture = {key: value for key, value in settings.items() if key not in SETTINGS}
  return of_execution, of_architecture


def check_remat(name: str) -> None:
  """Raises `InputError` if no remat policy has this name, see `REMAT`."""
  if name not in REMAT:
    raise unknown_name("remat", str(name), REMAT)
