"""Every number of the base config has a range."""

import numbers

from configs import common
from hornet_jax.train import settings
from hornet_jax.train.workdir import flatten


def test_every_number_has_a_range():
  config = flatten(common.base_config().to_dict())
  counted = {
    key
    for key, value in config.items()
    if isinstance(value, numbers.Number) and not isinstance(value, bool)
  }
  assert set(settings._RANGES) == counted


def test_the_base_config_is_in_range():
  settings.check_ranges(common.base_config().to_dict())
