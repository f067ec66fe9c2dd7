"""Rules that turn a size into a design: by width, by depth or by image size."""

import dataclasses

from hornet_jax.studies.design import Design, read_design
from hornet_jax.studies.family import with_depth, with_image_size, with_width


@dataclasses.dataclass(frozen=True)
class _Rule:
  """A `_Rule` changes one design.

  Attributes:
    design: name of a model, or `NAME:FIELDS`, such as `"hornet_micro_7x7:depths=(1, 1, 2, 1)"`.
    image_size: side of the images, in pixels.
    num_classes: number of classes K.
  """

  design: str
  image_size: int
  num_classes: int

  def read(self) -> Design:
    """Reads the design that is changed."""
    return read_design(self.design, self.image_size, self.num_classes)


class ByWidth(_Rule):
  """A size of `ByWidth` is a width, the channels of the first stage, see `with_width`."""

  def design_of(self, size: int) -> Design:
    """Gives the design of this width; raises `InputError` where there is none."""
    return with_width(self.read(), size)

  def params_of(self, size: int) -> int:
    """Counts the parameters of this width, without the head."""
    headless = dataclasses.replace(self.design_of(size), num_classes=0)
    return headless.costs()["params"]


class ByDepth(_Rule):
  """A size of `ByDepth` is a number of blocks, see `with_depth`."""

  def design_of(self, size: int) -> Design:
    """Gives the design of this many blocks; raises `InputError` where there is none."""
    return with_depth(self.read(), size)


class ByImageSize(_Rule):
  """A size of `ByImageSize` is the side of the images in pixels, see `with_image_size`."""

  def design_of(self, size: int) -> Design:
    """Gives the design for images of this size; raises `InputError` where there is none."""
    return with_image_size(self.read(), size)
