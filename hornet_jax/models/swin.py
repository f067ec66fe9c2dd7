"""Swin has stages of attention inside of windows, moved by half a window in every second block."""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from hornet_jax.errors import InputError
from hornet_jax.models.api import AnyArray
from hornet_jax.models.attention import WindowAttention
from hornet_jax.models.block import Block
from hornet_jax.models.decay_layers import block_layers
from hornet_jax.models.dense import Dense
from hornet_jax.models.execution import Execution
from hornet_jax.models.hierarchical import Hierarchical
from hornet_jax.models.layers import LayerNorm
from hornet_jax.models.registry import ALIASES, register
from hornet_jax.models.relative_bias import resize_relative_bias

_EPSILON = 1e-5  # Source: official swin_transformer.py: PyTorch's default.


class PatchMerging(nn.Module):
  """A `PatchMerging` joins the channels of 2x2 positions, norms them and halves their number.

  A grid of odd sides is padded with zeros.

  Source: official swin_transformer.py, `PatchMerging`; padding as in timm.

  Attributes:
    execution: the way in which it is computed.
  """

  execution: Execution = Execution()

  @nn.compact
  def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w D"]:
    batch, height, width, channels = x.shape
    x = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
    x = x.reshape(batch, -(-height // 2), 2, -(-width // 2), 2, channels)
    x = x.transpose(0, 1, 3, 4, 2, 5)  # [B, h, w, column, row, C]
    x = LayerNorm(self.execution, _EPSILON, name="norm")(x.reshape(*x.shape[:3], -1))
    return Dense(2 * channels, self.execution, use_bias=False, name="reduction")(x)


class Swin(Hierarchical):
  """A `Swin` is a hierarchical classifier whose blocks mix positions by attention in windows.

  Blocks with windows and with shifted windows take turns. The last features are normed before
  they are pooled. See `Hierarchical` for the other attributes.

  Source: arXiv 2103.14030 section 3; official swin_transformer.py, `SwinTransformer`.

  Attributes:
    num_heads: number of heads in each stage.
    window: side of the windows, in positions.
  """

  base_dim: int = 96
  depths: Sequence[int] = (2, 2, 6, 2)
  num_heads: Sequence[int] = (3, 6, 12, 24)
  window: int = 7

  stage_fields = ("num_heads",)
  epsilon = _EPSILON

  def block(self, stage: int) -> tuple[Callable[..., nn.Module], ...]:
    """Gives the constructors of a stage's blocks, which take turns, see `Stage`."""
    kinds = []
    for shift in (0, self.window // 2):
      mixer = functools.partial(
        WindowAttention, self.num_heads[stage], self.window, shift, name="attention"
      )
      kinds.append(functools.partial(Block, mixer, self.mlp_ratio, None, self.epsilon))
    return tuple(kinds)

  @nn.nowrap
  def make_downsample(self, stage: int) -> nn.Module:
    """Makes the module that is called before a stage, other than the first."""
    return PatchMerging(self.execution, name=f"downsample_{stage}")

  @nn.nowrap
  def pool(self, out: dict[str, Array]) -> Float[Array, "B C"]:
    """Norms the last features, then pools them, in float32."""
    x = out[self.features()[-1].name].astype(jnp.float32)
    return jnp.mean(LayerNorm(epsilon=self.epsilon, name="norm")(x), axis=(1, 2))

  def layer(self, path: str) -> tuple[int, int]:
    """Numbers the layers, one a block."""
    return block_layers(path, self.depths)

  def adapt(self, path: str, value: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    """Resizes biases by relative position to another window; returns others as they are."""
    if not path.endswith("relative_bias"):
      return value
    window = ((shape[0] + 1) // 2, (shape[1] + 1) // 2)
    return resize_relative_bias(jnp.asarray(value), window)

  def grids(self, height: int, width: int) -> list[tuple[int, int]]:
    """Gives (h, w) of the features of every stage: odd sides are rounded up."""
    sides = [(height // self.patch_size, width // self.patch_size)]
    for _ in self.depths[1:]:
      sides.append((-(-sides[-1][0] // 2), -(-sides[-1][1] // 2)))
    return sides

  def check_fields(self) -> None:
    """Raises `InputError` where a field is out of range or contradicts another."""
    super().check_fields()
    if self.window < 1:
      raise InputError(f"`window` must be positive: expected at least 1, got {self.window}.")


def _register(name: str, base_dim: int, third: int, window: int = 7, image_size: int = 224) -> None:
  heads = base_dim // 32
  register(
    name,
    Swin,
    image_size=image_size,
    origin="paper",
    base_dim=base_dim,
    depths=(2, 2, third, 2),
    num_heads=(heads, 2 * heads, 4 * heads, 8 * heads),
    window=window,
  )


# Source: arXiv 2103.14030 section 3.3; official configs/swin.
_register("swin_tiny", 96, 6)
_register("swin_small", 96, 18)
_register("swin_base", 128, 18)
_register("swin_base_img384", 128, 18, 12, 384)
_register("swin_large", 192, 18)
_register("swin_large_img384", 192, 18, 12, 384)
# For minutes on a CPU.
register(
  "swin_micro",
  Swin,
  image_size=32,
  base_dim=16,
  depths=(2, 1, 2, 1),
  patch_size=2,
  num_heads=(1, 2, 4, 8),
  window=4,
)

# Source: timm, swin_transformer.py, registered models.
ALIASES |= {
  "swin_tiny_patch4_window7_224": "swin_tiny",
  "swin_small_patch4_window7_224": "swin_small",
  "swin_base_patch4_window7_224": "swin_base",
  "swin_base_patch4_window12_384": "swin_base_img384",
  "swin_large_patch4_window7_224": "swin_large",
  "swin_large_patch4_window12_384": "swin_large_img384",
}
