"""Parameters and multiply-accumulates, stage by stage, from the model's description."""

import dataclasses
import math
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hornet_jax.models import HorNet
from hornet_jax.models.gnconv import SpatialFilter, gnconv_dims, kernel_size


@dataclasses.dataclass(frozen=True)
class StageCost:
  """What one top-level part of a model holds and computes.

  Attributes:
    name: of the part, as in the parameter tree (`head` includes the last norm).
    shape: of its output for one image: (h, w, C) or (K,).
    params: number of parameters.
    macs: multiply-accumulates of its convolutions and linear layers for one image:
      what most papers call FLOPs. Norms, gates, GELU and the like are left out.
    spectral_macs: nominal cost of its Fourier transforms, counted apart: C' H W
      ceil(log2(H W)) for each of the two transforms of C' filtered channels.
  """

  name: str
  shape: tuple[int, ...]
  params: int
  macs: int
  spectral_macs: int


def count_params(params: Any) -> int:
  """Number of elements of a parameter tree, concrete or abstract."""
  return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))


def stage_costs(model: HorNet, image_size: int) -> list[StageCost]:
  """The parts of `model` in the order of computation, for square RGB images.

  Nothing is computed: parameters are counted on an abstract initialisation.
  """
  images = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
  # The blocks of a stage are equal, and only shapes are asked for: trace one block a
  # stage, in the forms of the operations that trace fastest.
  short = model.clone(
    depths=[1] * len(model.depths),
    depthwise="grouped",
    global_filter="fft",
    batch_axes=(),  # shapes need no mesh
    gather=False,
  )
  params = jax.eval_shape(short.init, jax.random.key(0), images)["params"]
  rows = []

  def add(name, shape, macs, spectral_macs=0, *, repeats=1, subtrees=None):
    held = sum(count_params(params[tree]) for tree in subtrees or [name])
    rows.append(StageCost(name, shape, repeats * held, repeats * macs, repeats * spectral_macs))

  dim = model.base_dim
  for s, (h, w) in enumerate(model.grids(image_size, image_size)):
    if s == 0:
      add("stem", (h, w, dim), h * w * dim * 3 * model.patch_size**2)
    else:
      dim *= 2
      add(f"downsample_{s}", (h, w, dim), h * w * dim * (dim // 2) * 4)
    macs, spectral_macs = block_macs(dim, model.orders[s], model.filters[s], h, w)
    add(f"stage_{s}", (h, w, dim), macs, spectral_macs, repeats=model.depths[s])
  add(
    "head",
    (model.num_classes,),
    dim * model.num_classes,
    subtrees=["norm", "head"] if model.num_classes else ["norm"],
  )
  return rows


def block_macs(
  dim: int, order: int, spatial_filter: SpatialFilter, height: int, width: int
) -> tuple[int, int]:
  """(macs, spectral_macs) of one block on a grid of `height` x `width`."""
  dims = gnconv_dims(dim, order)
  filtered = sum(dims)
  pixels = height * width
  lifting = sum(low * high for low, high in pairwise(dims))
  mlp = 2 * dim * 4 * dim
  dense = dim * 2 * dim + lifting + dim * dim + mlp
  if isinstance(spatial_filter, str):
    return pixels * (dense + filtered * math.prod(kernel_size(spatial_filter))), 0
  half = filtered // 2
  transform = half * pixels * math.ceil(math.log2(pixels)) if pixels > 1 else 0
  return pixels * (dense + half * 9), 2 * transform
