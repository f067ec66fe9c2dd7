"""The devices of a slice of TPUs that is not there are described by the compiler."""

import jax
from jax.experimental import topologies

from hornet_jax.cost.hardware import parse_topology


def describe_devices(topology: str) -> list[jax.Device]:
  """Returns descriptions of the devices of a slice, as many for each chip as Cloud TPU has.

  Args:
    topology: name of the slice, such as `v5e:2x4`.
  """
  config = parse_topology(topology).chip.chip_config
  settings = {} if config is None else {"chip_config_name": config}
  return topologies.get_topology_desc(topology, "tpu", **settings).devices
