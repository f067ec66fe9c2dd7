"""A family is one design in many sizes: of other widths, depths or image sizes.

What is possible the models say themselves, by being built without arrays.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from hornet_jax.config.width import fields_at_width
from hornet_jax.errors import InputError
from hornet_jax.studies.design import Design, sizes_of

MULTIPLE = 8
"""Channels that vector units of CPUs, and the sublanes of a TPU, work on together."""


def with_width(design: Design, width: int) -> Design:
  """Gives the design at another width; heads of attention keep their width, and become more.

  Args:
    design: design to change.
    width: number of channels of the first stage, `base_dim`.

  Raises:
    InputError: if the model does not exist at that width.
  """
  sizes_of(design)
  fields = fields_at_width(design.variant, design.fields, width)
  return _possible(dataclasses.replace(design, fields=fields))


def nearest_width(design: Design, width: int | float) -> int:
  """Finds the width nearest to a wanted one, by ratio, that is a multiple of 8 and possible.

  Args:
    design: design whose width would be changed.
    width: wanted number of channels of the first stage; it need not be whole.

  Raises:
    InputError: if there is none from half of it to twice as many.
  """
  multiples = range(MULTIPLE, 2 * math.ceil(width) + MULTIPLE, MULTIPLE)
  in_reach = [candidate for candidate in multiples if width / 2 <= candidate <= 2 * width]
  reason = f"no multiple of {MULTIPLE} lies there"
  for candidate in sorted(in_reach, key=lambda other: abs(math.log(other / width))):
    try:
      with_width(design, candidate)
    except InputError as error:
      reason = str(error)
    else:
      return candidate
  raise InputError(
    f"`width` must have a possible one near: expected one for {design.variant} from {width / 2:g} "
    f"to {2 * width:g}, got none: {reason}"
  )


def with_depth(design: Design, blocks: int) -> Design:
  """Gives the design with another number of blocks, dealt out in the ratio of its depths.

  Shares are rounded so that their sum is the wanted number: down first, then up where most is
  lacking. Every stage keeps a block.

  Args:
    design: design to change.
    blocks: number of blocks of all stages together.

  Raises:
    InputError: if there are fewer blocks than stages.
  """
  _, depths = sizes_of(design)
  if blocks < len(depths):
    raise InputError(
      f"`blocks` must leave each stage one: expected at least {len(depths)} for {design.variant}, "
      f"got {blocks}."
    )
  shares = [blocks * depth / sum(depths) for depth in depths]
  dealt = [max(int(share), 1) for share in shares]
  while sum(dealt) != blocks:
    step = 1 if sum(dealt) < blocks else -1
    stages = [s for s, depth in enumerate(dealt) if depth + step >= 1]
    lacking = max(stages, key=lambda s: step * (shares[s] - dealt[s]))
    dealt[lacking] += step
  return _possible(design.with_fields(depths=tuple(dealt)))


def with_image_size(design: Design, image_size: int) -> Design:
  """Gives the design for images of another size.

  What is stored for a grid, such as global filters and tables of positions, stays and is resized
  at every call, so that the parameters are as many.

  Args:
    design: design to change.
    image_size: side of the images, in pixels.

  Raises:
    InputError: if the grids of the stages do not fill the image.
  """
  stride = max(feature.stride for feature in design.build().features())
  if image_size % stride:
    below, above = image_size // stride * stride, -(-image_size // stride) * stride
    raise InputError(
      f"`image_size` must be a multiple of {stride}, the pixels of a position of "
      f"{design.variant}'s coarsest grid: got {image_size}, of which a margin would not be seen. "
      f"Hint: {' or '.join(str(size) for size in (below, above) if size)}."
    )
  return _possible(dataclasses.replace(design, image_size=image_size))


def _possible(design: Design) -> Design:
  """Returns a design whose model can be built and takes its images.

  Raises:
    InputError: if it cannot; the model says why.
  """
  model = design.build()
  side = design.image_size
  images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
  jax.eval_shape(model.init, jax.random.key(0), images)
  return design
