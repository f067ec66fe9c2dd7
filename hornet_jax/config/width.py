"""The fields of a model at another width, in which everything that counts channels follows."""

from hornet_jax.config.model_fields import parse_fields, write_fields
from hornet_jax.errors import InputError
from hornet_jax.models import create_model


def fields_at_width(variant: str, fields: str, width: int) -> str:
  """Gives the fields that make a model of another width: heads keep theirs, and become more.

  Args:
    variant: name of the model.
    fields: fields in which it differs from the variant, as `model.fields` has them.
    width: wanted `base_dim`.

  Raises:
    InputError: if the model has no width, or its heads would not be whole.
  """
  known, base = parse_fields(fields), read_width(variant, fields)
  heads = getattr(create_model(variant, **known), "num_heads", None)
  if heads is not None:
    known["num_heads"] = _scaled(variant, heads, width, base)
  return write_fields(known | {"base_dim": width})


def read_width(variant: str, fields: str) -> int:
  """Reads the width of a model, its `base_dim`.

  Args:
    variant: name of the model.
    fields: fields in which it differs from the variant, as `model.fields` has them.

  Raises:
    InputError: if it has none.
  """
  model = create_model(variant, **parse_fields(fields))
  width = getattr(model, "base_dim", None)
  if width is None:
    raise InputError(
      f"{variant} must have a width that can be changed: expected a field `base_dim`, got a "
      f"{type(model).__name__}."
    )
  return int(width)


def _scaled(
  variant: str, heads: int | tuple[int, ...], width: int, base: int
) -> int | tuple[int, ...]:
  several = heads if isinstance(heads, tuple) else (heads,)
  scaled = [divmod(count * width, base) for count in several]
  if any(rest or count < 1 for count, rest in scaled):
    raise InputError(
      f"`base_dim` {width} must give {variant} whole heads of {base // several[0]} channels, the "
      f"width that they have at {base}: got {several[0] * width / base:g} of them."
    )
  counts = tuple(count for count, _ in scaled)
  return counts if isinstance(heads, tuple) else counts[0]
