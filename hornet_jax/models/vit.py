"""The Vision Transformer is isotropic: blocks of attention over patches and a class token."""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Num

from hornet_jax.errors import InputError
from hornet_jax.models.api import AnyArray
from hornet_jax.models.attention import Attention
from hornet_jax.models.block import Block
from hornet_jax.models.hierarchical import Hierarchical
from hornet_jax.models.layers import LayerNorm
from hornet_jax.models.parallel import constrain_batch
from hornet_jax.models.registry import ALIASES, register
from hornet_jax.models.stage import Stage

_POSITIONS = "tokens/positions"


class Tokens(nn.Module):
  """A `Tokens` adds positions to patches and puts a class token before them.

  The table of positions is resized to the grid of the patches at every call.

  Source: arXiv 2010.11929 section 3.1.
  Deviation: timm's `pos_embed` holds the class token's position before those of the patches; here
  `class_position` [C] and `positions` [h, w, C] are two arrays.

  Attributes:
    grid: sides (h, w) of the table of positions, in patches.
  """

  grid: tuple[int, int]

  @nn.compact
  def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B N C"]:
    batch, height, width, channels = x.shape
    small, tiny = nn.initializers.normal(0.02), nn.initializers.normal(1e-6)
    positions = self.param("positions", small, (*self.grid, channels))
    token = self.param("class_token", tiny, (channels,))
    token += self.param("class_position", small, (channels,))
    x += resize_positions(positions, (height, width)).astype(x.dtype)[None]
    first = jnp.broadcast_to(token.astype(x.dtype), (batch, 1, channels))
    return jnp.concatenate([first, x.reshape(batch, -1, channels)], axis=1)


class VisionTransformer(Hierarchical):
  """A `VisionTransformer` classifies by a token that attends to all patches, block after block.

  x = stem(images) + positions, a class token before them, blocks, norm, head on the token alone.
  The table of positions is resized to the grid of the images at every call, so that any image
  size is accepted. It has one stage; see `Hierarchical` for the other attributes.

  Source: arXiv 2010.11929 section 3.1 (ViT); arXiv 2012.12877 (DeiT, the same architecture);
  timm, vision_transformer.py.

  Attributes:
    num_heads: number of heads.
    grid: sides (h, w) of the table of positions, in patches.
  """

  base_dim: int = 384
  depths: Sequence[int] = (12,)
  patch_size: int = 16
  stem_norm: bool = False
  num_heads: int = 6
  grid: tuple[int, int] = (14, 14)

  def block(self, stage: int) -> Callable[..., nn.Module]:
    """Gives the constructor of the blocks, see `Stage`."""
    del stage
    mixer = functools.partial(Attention, self.num_heads, name="attention")
    return functools.partial(Block, mixer, self.mlp_ratio, None)

  @nn.nowrap
  def run_stages(
    self,
    images: Num[Array, "B H W C"],
    train: bool,
    keys: Key[Array, "B"] | None,
    num_stages: int,
  ) -> dict[str, Array]:
    """Runs the stem and the blocks; see `Hierarchical.run_stages`.

    Returns:
      The intermediates by name: `stem`, `stage_0` and each `stage_0/block_i` are those of the
      patches [B, h, w, C], and `class_token` [B, C] is the class token behind the last block.
    """
    del num_stages
    self.check_images(images)
    (factors,) = self.drop_path(keys, images.shape[0]) if train else [None]
    how = self.execution
    x = self.make_stem()(constrain_batch(images, how.batch_axes))  # [B, h, w, C]
    tokens = Tokens(self.grid, name="tokens")(x)  # [B, 1 + h w, C]
    out = {"stem": tokens[:, 1:].reshape(x.shape)}
    stage = Stage(self.depths[0], self.block(0), how, name="stage_0")
    blocks = stage(constrain_batch(tokens, how.batch_axes), factors)
    maps = [tokens[:, 1:].reshape(x.shape) for tokens in blocks]
    if not how.scan:
      out.update({f"stage_0/block_{i}": output for i, output in enumerate(maps)})
    return {**out, "stage_0": maps[-1], "class_token": blocks[-1][:, 0]}

  @nn.nowrap
  def pool(self, out: dict[str, Array]) -> Float[Array, "B C"]:
    """Norms the class token, in float32."""
    return LayerNorm(name="norm")(out["class_token"].astype(jnp.float32))

  def adapt(self, path: str, value: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    """Resizes the table of positions; returns any other parameter as it is."""
    return resize_positions(jnp.asarray(value), shape[:2]) if path == _POSITIONS else value

  def check_fields(self) -> None:
    """Raises `InputError` where a field is out of range or contradicts another."""
    super().check_fields()
    if len(self.depths) != 1:
      raise InputError(f"`depths` must be of one stage: expected such as (12,), got {self.depths}.")


def resize_positions(table: Float[Array, "h w C"], size: tuple[int, ...]) -> Float[Array, "H W C"]:
  """Resizes a table of positions, bicubic and antialiased; gradients flow through it.

  Source: timm, layers/pos_embed.py, `resample_abs_pos_embed`.

  Args:
    table: a vector for every position of a grid.
    size: wanted height and width (H, W) of the grid.
  """
  if table.shape[:2] == tuple(size):
    return table
  return jax.image.resize(table, (*size, table.shape[-1]), "cubic")


# Source: arXiv 2012.12877 table 1 (DeiT-S); arXiv 2010.11929 table 1 (ViT-B), patches of 16 pixels.
register("deit_small", VisionTransformer, image_size=224, origin="paper")
register("vit_base", VisionTransformer, image_size=224, origin="paper", base_dim=768, num_heads=12)
# For minutes on a CPU.
register(
  "deit_micro",
  VisionTransformer,
  image_size=32,
  base_dim=48,
  depths=(4,),
  patch_size=4,
  num_heads=3,
  grid=(8, 8),
)

# Source: timm, vision_transformer.py and deit.py, registered models.
ALIASES |= {
  "deit_small_patch16_224": "deit_small",
  "vit_base_patch16_224": "vit_base",
}
