"""This module arranges the devices as a mesh and deals the rows of a batch out to them."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from orbax.checkpoint import multihost

from hornet_jax.errors import InputError
from hornet_jax.wording import counted

DATA, FSDP = "data", "fsdp"
BATCH_AXES = (DATA, FSDP)
"""The rows of a batch are spread over both axes; `fsdp` also cuts parameters into parts."""


_BARRIERS = itertools.count()


def make_mesh(devices: Sequence[jax.Device] | None = None, fsdp: int = 1) -> Mesh:
  """Makes a mesh of two axes, `data` and `fsdp`.

  Where the devices are of several TPU slices, `data` goes over the network between them and
  `fsdp` stays within a slice.

  Args:
    devices: devices to use; None for all.
    fsdp: number of devices that share one copy of the parameters.

  Raises:
    InputError: if the devices, or those of a slice, do not divide.
  """
  devices = list(jax.devices() if devices is None else devices)
  slices = len({getattr(device, "slice_index", 0) for device in devices})
  if len(devices) % (slices * fsdp):
    of_slices = f" in {slices} slices" if slices > 1 else ""
    raise InputError(
      f"`mesh.fsdp` must divide the devices of a slice: expected a divisor of "
      f"{len(devices) // slices} ({counted(len(devices), 'device')}{of_slices}), got {fsdp}."
    )
  shape = (len(devices) // slices // fsdp, fsdp)
  if slices > 1:
    grid = mesh_utils.create_hybrid_device_mesh(
      shape, (slices, 1), devices, allow_split_physical_axes=True
    )
  else:
    grid = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
  # Auto, as the default is Explicit now, under which sharded convolutions raise.
  return Mesh(grid, BATCH_AXES, axis_types=(AxisType.Auto,) * 2)


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """Returns the sharding that spreads the rows of a batch over all devices."""
  return NamedSharding(mesh, PartitionSpec(BATCH_AXES))


def replicated(mesh: Mesh) -> NamedSharding:
  """Returns the sharding that keeps an array whole on every device."""
  return NamedSharding(mesh, PartitionSpec())


def check_batch_size(batch_size: int, mesh: Mesh, accumulation_steps: int = 1) -> None:
  """Raises `InputError` where the rows of a training batch cannot be dealt out evenly.

  Args:
    batch_size: rows of the global batch.
    mesh: devices to deal to.
    accumulation_steps: parts of the batch on each device.
  """
  devices = mesh.size
  parts = devices * accumulation_steps
  if batch_size % parts:
    below = batch_size // parts * parts
    micro = f" times {accumulation_steps} accumulation steps" if accumulation_steps > 1 else ""
    raise InputError(
      f"`data.batch_size` must be a multiple of the {devices} devices{micro}: got {batch_size}. "
      f"Hint: use {f'{below} or ' if below else ''}{below + parts}."
    )


def process_rows(batch_size: int, sharding: NamedSharding) -> np.ndarray:
  """Returns which rows of the global batch the devices of this process hold, ascending."""
  owned = sharding.addressable_devices_indices_map((batch_size,))
  rows = [np.arange(batch_size)[index] for index in owned.values()]
  return np.unique(np.concatenate(rows))


def wait_for_all(what: str) -> None:
  """Waits until all processes have called this.

  Compiling takes longer on one host than on another; collectives on CPU wait 30 s only.

  Args:
    what: name of what has been done by then.
  """
  wait = multihost.get_barrier_sync_fn()
  wait(key=f"{what} {next(_BARRIERS)}", timeout_ms=3_600_000)


def on_host(tree: Any, mesh: Mesh) -> Any:
  """Returns arrays as numpy arrays, whole in every process, wherever their parts lie."""
  if jax.process_count() > 1:
    tree = jax.jit(lambda leaves: leaves, out_shardings=replicated(mesh))(tree)
  return jax.device_get(tree)


def to_devices(
  batch: Mapping[str, np.ndarray], batch_size: int, sharding: NamedSharding
) -> dict[str, jax.Array]:
  """Makes one global array per key from the rows that this process read."""
  return {
    key: jax.make_array_from_process_local_data(sharding, rows, (batch_size, *rows.shape[1:]))
    for key, rows in batch.items()
  }
