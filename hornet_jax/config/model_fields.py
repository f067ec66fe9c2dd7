"""`model.fields` holds, as text, fields of an architecture that have no key of their own."""

import ast
from typing import Any

from hornet_jax.errors import InputError


def parse_fields(text: str) -> dict[str, Any]:
  """Reads fields written as the keywords of a Python call: `base_dim=24, depths=(1, 1, 3, 1)`.

  Raises:
    InputError: if it is no list of keywords with plain values.
  """
  try:
    call = ast.parse(f"fields({text})", mode="eval").body
    if not isinstance(call, ast.Call) or call.args:
      raise ValueError("a value without a name")
    fields = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    if None in fields or len(fields) < len(call.keywords):
      raise ValueError("a name that is missing or comes twice")
  except (SyntaxError, ValueError) as error:
    reason = str(error).partition("(<")[0].strip()
    raise InputError(
      "`model.fields` must be keywords with plain values: expected such as 'base_dim=24, "
      f"depths=(1, 1, 3, 1)', got {text!r}: {reason}."
    ) from error
  return {str(name): value for name, value in fields.items()}


def write_fields(fields: dict[str, Any]) -> str:
  """Writes fields as `parse_fields` reads them, in the order of their names."""
  return ", ".join(f"{name}={value!r}" for name, value in sorted(fields.items()))
