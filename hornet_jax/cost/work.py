"""What one image costs a device, from the model's description alone."""

import dataclasses
from itertools import pairwise

from hornet_jax.cost.accounting import block_macs
from hornet_jax.models import HorNet
from hornet_jax.models.gnconv import gnconv_dims


@dataclasses.dataclass(frozen=True)
class Work:
  """Of one image.

  Attributes:
    matmul_macs: multiply-accumulates of linear layers and patch convolutions.
    depthwise_macs: of depthwise convolutions, which no matrix unit can do.
    fourier_macs: of the Fourier transforms, as matrix products.
    elements: numbers that linear layers, filters and blocks write.
  """

  matmul_macs: int
  depthwise_macs: int
  fourier_macs: int
  elements: int

  def __add__(self, other: "Work") -> "Work":
    mine, others = dataclasses.astuple(self), dataclasses.astuple(other)
    return Work(*(a + b for a, b in zip(mine, others, strict=True)))

  def times(self, n: int) -> "Work":
    """Of n such."""
    return Work(*(n * value for value in dataclasses.astuple(self)))


def forward_work(model: HorNet, image_size: int) -> Work:
  """Of one image, forward."""
  dim = model.base_dim
  total = Work(0, 0, 0, 0)
  for s, (h, w) in enumerate(model.grids(image_size, image_size)):
    if s == 0:
      total += Work(h * w * dim * 3 * model.patch_size**2, 0, 0, h * w * dim)
    else:
      dim *= 2
      total += Work(h * w * dim * (dim // 2) * 4, 0, 0, h * w * dim)
    total += _block(model, dim, s, h, w).times(model.depths[s])
  return total + Work(dim * model.num_classes, 0, 0, dim + model.num_classes)


def training_work(model: HorNet, image_size: int) -> Work:
  """Of one image, forward and backward, with what `model.remat` computes again.

  A product of two arrays costs twice as much backward; a Fourier transform, whose matrix is
  constant, as much as forward. Numbers are written and read once forward; backward they are read
  again, and so are their gradients, which were written. `elements` counts both ways.
  """
  forward = forward_work(model, image_size)
  again = {
    "none": (0, 0, 0, 0),
    "full": (1, 1, 1, 1),
    "dense": (0, 1, 1, 0),
    "dots": (0, 1, 0, 0),
  }[model.remat]
  return Work(
    (3 + again[0]) * forward.matmul_macs,
    (3 + again[1]) * forward.depthwise_macs,
    (2 + again[2]) * forward.fourier_macs,
    (5 + 2 * again[3]) * forward.elements,
  )


def recomputed_share(model: HorNet, image_size: int) -> float:
  """Multiply-accumulates that `model.remat` adds to a step, as a share of those without it."""

  def macs(work: Work) -> int:
    return work.matmul_macs + work.depthwise_macs + work.fourier_macs

  without = macs(training_work(model.clone(remat="none"), image_size))
  return macs(training_work(model, image_size)) / without - 1


def _block(model: HorNet, dim: int, stage: int, height: int, width: int) -> Work:
  order, spatial_filter = model.orders[stage], model.filters[stage]
  dims = gnconv_dims(dim, order)
  pixels, filtered = height * width, sum(dims)
  macs, _ = block_macs(dim, order, spatial_filter, height, width)
  lifting = sum(low * high for low, high in pairwise(dims))
  matmul = pixels * (dim * 2 * dim + lifting + dim * dim + 8 * dim * dim)
  fourier = 0
  if not isinstance(spatial_filter, str) and model.global_filter != "fft":
    columns = width // 2 + 1
    # Real to complex and back over W: 2 products each; complex over H: 4 each.
    fourier = (filtered // 2) * (4 * pixels * columns + 8 * height * height * columns)
  elements = pixels * (2 * dim + filtered + sum(dims[1:]) + dim + 4 * dim + dim)
  return Work(matmul, macs - matmul, fourier, elements)
