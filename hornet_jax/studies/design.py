"""A design is a model by its name and the fields in which it differs, and what it costs."""

import dataclasses
from typing import Any

from hornet_jax.config.model_fields import parse_fields, write_fields
from hornet_jax.cost.model_work import stage_costs
from hornet_jax.errors import InputError
from hornet_jax.models import create_model, get_variant


@dataclasses.dataclass(frozen=True)
class Design:
  """A `Design` is a model at one image size.

  Attributes:
    variant: name of the model.
    fields: fields in which it differs from the variant, as `parse_fields` reads them.
    image_size: side of the images, in pixels.
    num_classes: number of classes K.
  """

  variant: str
  fields: str
  image_size: int
  num_classes: int

  def build(self) -> Any:
    """Builds the model."""
    return create_model(self.variant, num_classes=self.num_classes, **parse_fields(self.fields))

  def with_fields(self, **fields: Any) -> "Design":
    """Gives the same design with some fields set otherwise."""
    return dataclasses.replace(self, fields=write_fields(parse_fields(self.fields) | fields))

  def costs(self) -> dict[str, int]:
    """Counts parameters (`"params"`) and MACs (`"macs"`), those of Fourier transforms included.

    Raises:
      InputError: if the fields contradict each other.
    """
    rows = stage_costs(self.build(), self.image_size)
    return {
      "params": sum(row.params for row in rows),
      "macs": sum(row.macs + row.spectral_macs for row in rows),
    }


def read_design(text: str, image_size: int | None, num_classes: int) -> Design:
  """Reads `NAME` or `NAME:FIELDS`, such as `"hornet_micro_7x7:base_dim=24, depths=(1, 1, 3, 1)"`.

  Args:
    text: name of a model, and fields as `parse_fields` reads them.
    image_size: side of the images in pixels; None for the variant's own.
    num_classes: number of classes K.

  Raises:
    InputError: if the name is unknown or the fields are malformed.
  """
  name, _, fields = text.partition(":")
  size = image_size or get_variant(name).image_size
  return Design(name, write_fields(parse_fields(fields)), size, num_classes)


def sizes_of(design: Design) -> tuple[int, tuple[int, ...]]:
  """Returns the width and the depths of a design.

  Raises:
    InputError: if its architecture has no fields `base_dim` and `depths`.
  """
  model = design.build()
  width, depths = getattr(model, "base_dim", None), getattr(model, "depths", None)
  if width is None or depths is None:
    raise InputError(
      f"{design.variant} must have a width and depths that can be changed: expected fields "
      f"`base_dim` and `depths`, got a {type(model).__name__}."
    )
  return int(width), tuple(depths)
