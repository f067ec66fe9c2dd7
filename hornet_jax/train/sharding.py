"""How batches and state lie on the devices.

`jax.jit` with `NamedSharding`s is what `pjit` became. Data-parallel: every device has
the whole state and a part of each batch.
"""

from collections.abc import Mapping, Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from hornet_jax.errors import InputError

DATA = "data"


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
  """A mesh of one axis, `data`, over the given devices or all of them."""
  devices = jax.devices() if devices is None else devices
  # Auto, as the default is Explicit now, under which sharded convolutions raise.
  return jax.make_mesh((len(devices),), (DATA,), axis_types=(AxisType.Auto,), devices=devices)


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """Rows of a batch, spread over the data axis."""
  return NamedSharding(mesh, PartitionSpec(DATA))


def replicated(mesh: Mesh) -> NamedSharding:
  """The same on every device."""
  return NamedSharding(mesh, PartitionSpec())


def check_batch_size(batch_size: int, mesh: Mesh, accumulation_steps: int = 1) -> None:
  """Raises `InputError` where the rows of a training batch cannot be dealt out evenly.

  Args:
    batch_size: rows of the global batch.
    mesh: the devices.
    accumulation_steps: parts of the batch on each device.
  """
  devices = mesh.shape[DATA]
  parts = devices * accumulation_steps
  if batch_size % parts:
    below = batch_size // parts * parts
    micro = f" times {accumulation_steps} accumulation steps" if accumulation_steps > 1 else ""
    raise InputError(
      f"`data.batch_size` must be a multiple of the {devices} devices{micro}: got {batch_size}. "
      f"Hint: use {f'{below} or ' if below else ''}{below + parts}."
    )


def process_rows(batch_size: int, sharding: NamedSharding) -> np.ndarray:
  """Rows of the global batch that the devices of this process hold, ascending."""
  owned = sharding.addressable_devices_indices_map((batch_size,))
  rows = [np.arange(batch_size)[index] for index in owned.values()]
  return np.unique(np.concatenate(rows))


def to_devices(
  batch: Mapping[str, np.ndarray], batch_size: int, sharding: NamedSharding
) -> dict[str, jax.Array]:
  """One global array per key from the rows that this process read."""
  return {
    key: jax.make_array_from_process_local_data(sharding, rows, (batch_size, *rows.shape[1:]))
    for key, rows in batch.items()
  }
