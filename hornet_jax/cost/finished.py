"""Finished compiles of some train steps tell how many cycles others of the same family take.

The compiler estimates cycles only when it finishes, after minutes. So `hornet plan --full` was run
once for the programs below, and what it printed is scaled by the work of others.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from hornet_jax.models import ALIASES, Architecture, create_model, get_variant
from hornet_jax.models.param_info import Role, map_params

_FILTERS = {Role.DEPTHWISE, Role.SPECTRAL}


@dataclasses.dataclass(frozen=True)
class Finished:
  """A `Finished` holds what `hornet plan --full` printed of one train step.

  Attributes:
    variant: name of the model.
    generation: TPU, a key of `CHIPS`.
    dtype: name of the type of the computation.
    remat: name of the remat policy.
    images: images of a step on each chip.
    cycles: time of the compiler's cycles at the chip's clock, in ms.
    in_turn: time of matrix unit, vector unit and memory one after another, each at its peak, in ms.
    stuck: part of `cycles` in an operation that the compiler cut into windows of one pixel and one
      weight; whether another program has such an operation is not known before it is finished.
  """

  variant: str
  generation: str
  dtype: str
  remat: str
  images: int
  cycles: float
  in_turn: float
  stuck: float = 0.0


# libtpu 0.0.52, images of 224 pixels; the commands are in experiments/performance.
FINISHED = (
  Finished("hornet_tiny_7x7", "v5e", "bfloat16", "none", 128, 213.5, 63.8),
  Finished("hornet_tiny_7x7", "v5e", "bfloat16", "none", 192, 323.6, 95.2),
  Finished("hornet_tiny_7x7", "v5e", "float32", "none", 64, 143.6, 47.4),
  Finished("hornet_tiny_gf", "v5e", "bfloat16", "none", 128, 260.7, 55.1),
  Finished("hornet_tiny_gf", "v5e", "bfloat16", "none", 16, 45.5, 7.8),
  Finished("hornet_tiny_gf", "v5e", "float32", "none", 64, 174.0, 43.0),
  Finished("hornet_large_gf", "v5e", "bfloat16", "full", 64, 7311.7, 179.6, 6803.9),
  Finished("hornet_large_gf", "v5e", "bfloat16", "dense", 64, 7299.0, 140.2, 6803.9),
  Finished("hornet_tiny_gf", "v6e", "bfloat16", "none", 128, 141.0, 25.8),
)


@dataclasses.dataclass(frozen=True)
class Scale:
  """A scale makes an estimate of cycles of the time that the units take in turn.

  Attributes:
    ratio: time of the cycles over that of the units in turn, rounded up to a tenth.
    source: the finished compile that it is of.
    same_chip: whether that was for the same TPU.
    same_step: whether that was the very step, whose operation that is stuck counts too.
  """

  ratio: float
  source: Finished
  same_chip: bool
  same_step: bool


@dataclasses.dataclass(frozen=True)
class Family:
  """A family is models that differ in width and image size alone: one compile scales another.

  Attributes:
    constructor: class of the architecture, or function that makes one.
    stages: path of each run of equal blocks, and their number.
    strides: pixels of the image from one position of each feature map to the next.
    filters: kinds of spatial filters.
  """

  constructor: Callable[..., Architecture]
  stages: tuple[tuple[str, int], ...]
  strides: tuple[int, ...]
  filters: frozenset[Role]


def find_scale(
  variant: str, generation: str, dtype: str, fourier: str, remat: str, images: int
) -> Scale | None:
  """Returns the largest ratio among the finished compiles of a model's family.

  A family is told by what its models are, see `Family`, and not by their names. Compiles for the
  same TPU come first; where there are none, those for other TPUs are taken. What is stuck
  counts for the step alone in which it was seen.

  Args:
    variant: name of the model.
    generation: TPU, a key of `CHIPS`.
    dtype: name of the type of the computation.
    fourier: implementation of the global filter's Fourier transforms.
    remat: name of the remat policy.
    images: images of a step on each chip.

  Returns:
    The scale; None where no compile of the family in this type was finished.
  """
  constructor = get_variant(variant).constructor
  built_alike = [row for row in FINISHED if get_variant(row.variant).constructor == constructor]
  known = [
    row
    for row in built_alike
    if row.dtype == dtype and family_of(row.variant) == family_of(variant)
  ]
  if not known or (Role.SPECTRAL in family_of(variant).filters and fourier != "dft"):
    return None
  same = [row for row in known if row.generation == generation]
  name = ALIASES.get(variant, variant)

  def scale(row: Finished) -> Scale:
    same_step = (row.variant, row.remat, row.images) == (name, remat, images) and bool(same)
    time = row.cycles if same_step else row.cycles - row.stuck
    # The figures are printed ones: 0.01 is more than they lack.
    ratio = math.ceil(10 * (time / row.in_turn + 0.01)) / 10
    return Scale(ratio, row, bool(same), same_step)

  return max(map(scale, same or known), key=lambda found: found.ratio)


@functools.cache
def family_of(variant: str) -> Family:
  """Reads the family of a model off what its architecture says."""
  known, model = get_variant(variant), create_model(variant)
  size = known.image_size
  params = jax.eval_shape(
    lambda: model.init(jax.random.key(0), jnp.zeros((1, size, size, 3))).get("params", {})
  )
  roles = set(jax.tree.leaves(map_params(lambda info, _: info.role, model.param_info, params)))
  return Family(
    known.constructor,
    tuple(model.stacks().items()),
    tuple(feature.stride for feature in model.features()),
    frozenset(roles & _FILTERS),
  )
