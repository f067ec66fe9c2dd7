"""A config as one mapping from dotted keys to values."""

from collections.abc import Mapping
from typing import Any


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  """{"a": {"b": 1}} -> {"a.b": 1}; tuples become lists, as in JSON."""
  flat: dict[str, Any] = {}
  for key, value in config.items():
    if isinstance(value, Mapping):
      flat.update(flatten(value, f"{prefix}{key}."))
    else:
      flat[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
  return flat


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
  """Turns dotted names into nested dictionaries: `{"a.b": 1}` -> `{"a": {"b": 1}}`."""
  nested: dict[str, Any] = {}
  for name, value in flat.items():
    *sections, last = name.split(".")
    inner = nested
    for section in sections:
      inner = inner.setdefault(section, {})
    inner[last] = value
  return nested
