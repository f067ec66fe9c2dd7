"""This module registers the HorNets by name: those of the paper, and small ones of ours."""

from typing import Any

from hornet_jax.models.hornet import HorNet
from hornet_jax.models.registry import ALIASES, register
from hornet_jax.models.spatial_filter import SpatialFilter


def _paper(name: str, base_dim: int, image_size: int, *late_filters) -> None:
  filters = ("7x7", "7x7", *late_filters)
  register(name, HorNet, image_size=image_size, origin="paper", base_dim=base_dim, filters=filters)


def _small(
  name: str, base_dim: int, depths: tuple[int, ...], orders: tuple[int, ...], *filters
) -> None:
  register(
    name,
    HorNet,
    image_size=32,
    base_dim=base_dim,
    depths=depths,
    orders=orders,
    filters=filters,
    patch_size=2,
    # 1e-6 as in the deep models would keep a few blocks from learning in a short run.
    layer_scale_init=0.1,
  )


def _isotropic(
  base_dim: int, depth: int, spatial_filter: SpatialFilter, patch_size: int = 16
) -> dict[str, Any]:
  return {
    "base_dim": base_dim,
    "depths": (depth,),
    "orders": (5,),
    "filters": (spatial_filter,),
    "patch_size": patch_size,
    "stem_norm": False,
  }


# Source of the paper's rows: official hornet.py, registered models. A spectral size is
# (h, w // 2 + 1) of the stage's grid at the image size.
_paper("hornet_tiny_7x7", 64, 224, "7x7", "7x7")
_paper("hornet_tiny_gf", 64, 224, (14, 8), (7, 4))
_paper("hornet_small_7x7", 96, 224, "7x7", "7x7")
_paper("hornet_small_gf", 96, 224, (14, 8), (7, 4))
_paper("hornet_base_7x7", 128, 224, "7x7", "7x7")
_paper("hornet_base_gf", 128, 224, (14, 8), (7, 4))
_paper("hornet_base_gf_img384", 128, 384, (24, 13), (12, 7))
_paper("hornet_large_7x7", 192, 224, "7x7", "7x7")
_paper("hornet_large_gf", 192, 224, (14, 8), (7, 4))
_paper("hornet_large_gf_img384", 192, 384, (24, 13), (12, 7))
# The isotropic models of the paper's comparison with ViT: our reconstruction, as neither the paper
# nor the official code has the details.
register("hornet_iso_small_7x7", HorNet, image_size=224, **_isotropic(384, 12, "7x7"))
register("hornet_iso_small_gf", HorNet, image_size=224, **_isotropic(384, 12, (14, 8)))
# For minutes on a CPU.
_small("hornet_micro_7x7", 16, (1, 1, 2, 1), (2, 3, 4, 5), "7x7", "7x7", "7x7", "7x7")
_small("hornet_micro_gf", 16, (1, 1, 2, 1), (2, 3, 4, 5), "7x7", "7x7", (4, 3), (2, 2))
register("hornet_iso_micro_7x7", HorNet, image_size=32, **_isotropic(64, 3, "7x7", 4))
register("hornet_iso_micro_gf", HorNet, image_size=32, **_isotropic(64, 3, (8, 5), 4))
# For seconds: two stages, one block each.
_small("hornet_nano_7x7", 8, (1, 1), (2, 3), "7x7", "7x7")
_small("hornet_nano_gf", 8, (1, 1), (2, 3), "7x7", (8, 5))

# What other libraries call the models of the paper.
ALIASES |= {
  # Source: mmpretrain, backbones/hornet.py (`arch`) and configs/hornet/metafile.yml.
  "hornet-tiny": "hornet_tiny_7x7",
  "hornet-tiny-gf": "hornet_tiny_gf",
  "hornet-small": "hornet_small_7x7",
  "hornet-small-gf": "hornet_small_gf",
  "hornet-base": "hornet_base_7x7",
  "hornet-base-gf": "hornet_base_gf",
  "hornet-large": "hornet_large_7x7",
  "hornet-large-gf": "hornet_large_gf",
  # Deviation: mmpretrain's two have filters (24, 12) and (13, 7), of which no weights are
  # published; these are the official (24, 13) and (12, 7).
  "hornet-base-gf384": "hornet_base_gf_img384",
  "hornet-large-gf384": "hornet_large_gf_img384",
  "hornet-tiny_3rdparty_in1k": "hornet_tiny_7x7",
  "hornet-tiny-gf_3rdparty_in1k": "hornet_tiny_gf",
  "hornet-small_3rdparty_in1k": "hornet_small_7x7",
  "hornet-small-gf_3rdparty_in1k": "hornet_small_gf",
  "hornet-base_3rdparty_in1k": "hornet_base_7x7",
  "hornet-base-gf_3rdparty_in1k": "hornet_base_gf",
  # Source: keras_cv_attention_models, hornet/hornet.py (`model_name`).
  "hornet_tiny": "hornet_tiny_7x7",
  "hornet_small": "hornet_small_7x7",
  "hornet_base": "hornet_base_7x7",
  "hornet_large": "hornet_large_7x7",
}
