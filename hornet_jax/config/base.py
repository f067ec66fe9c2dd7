"""The base config has every key of the schema, with its default."""

from ml_collections import ConfigDict

from hornet_jax.config.flat import nest
from hornet_jax.config.schema import SCHEMA


def base_config() -> ConfigDict:
  """Returns the config that experiments change: keys are fixed, and so are their types."""
  return ConfigDict(nest({name: key.default for name, key in SCHEMA.items()})).lock()
