"""This module finds out which processes take part in a run, from arguments and the cluster."""

import dataclasses
import os

# JAX offers what it knows of clusters to `initialize` only, which says nothing of who is missing.
from jax._src.clusters import ClusterEnv

from hornet_jax.errors import InputError

# Variables that announce several processes where their number is above 1, above 0, or where they
# list more than one host.
_COUNTS = (
  "SLURM_NTASKS",
  "SLURM_STEP_NUM_TASKS",
  "OMPI_COMM_WORLD_SIZE",
  "PMI_SIZE",
  "MEGASCALE_NUM_SLICES",
)
_NUMBERS = (
  "SLURM_PROCID",
  "OMPI_COMM_WORLD_RANK",
  "PMI_RANK",
  "MEGASCALE_SLICE_ID",
  "TPU_WORKER_ID",
)
_LISTS = ("TPU_PROCESS_ADDRESSES", "TPU_WORKER_HOSTNAMES")
_OF_SLURM = ("JOB_ID", "STEP_NODELIST", "NTASKS", "PROCID", "LOCALID")  # all that JAX needs
_ALONE = "or --num_processes=1 to run alone"


@dataclasses.dataclass(frozen=True)
class Hosts:
  """`Hosts` describes the processes of a run; the cluster is asked for whatever is None.

  Attributes:
    coordinator: HOST:PORT of process 0; port and port + 1 must be open between the hosts.
    num_processes: number of processes, one a host.
    process_id: number of this process.
    timeout: seconds to wait for the others.
    heartbeat: seconds of silence after which a process counts as dead.
    local_devices: numbers of the accelerators that are this process's, where a cluster says so.
  """

  coordinator: str | None = None
  num_processes: int | None = None
  process_id: int | None = None
  timeout: int = 300
  heartbeat: int = 100
  local_devices: tuple[int, ...] | None = None


def detect(hosts: Hosts) -> Hosts:
  """Fills in what the cluster knows; a process is alone only where nothing announces others.

  Raises:
    InputError: if only a part is known, or it makes no sense.
  """
  if hosts.num_processes == 1:
    return dataclasses.replace(hosts, process_id=0)
  coordinator = hosts.coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS") or None
  count, number, local = hosts.num_processes, hosts.process_id, None
  if None in (coordinator, count, number):
    announced = _announcement()
    coordinator, count, number, local = _ask_jax(coordinator, count, number, hosts.timeout)
    if (coordinator, count, number) == (None, None, None) and announced:
      raise InputError(
        f"{announced}, so this process must not go on alone, but how many there are, which one "
        f"this is and where process 0 is was not found{_missing_of_slurm()}. Hint: give "
        f"--coordinator, --num_processes and --process_id (or start with srun), {_ALONE}."
      )
  if coordinator and coordinator.startswith(":"):
    raise InputError(
      f"this cluster does not say where process 0 is{_missing_of_slurm()}. Hint: give "
      f"--coordinator, --num_processes and --process_id, {_ALONE}."
    )
  if count == 1 or (coordinator, count, number) == (None, None, None):
    return dataclasses.replace(hosts, num_processes=1, process_id=0)
  flags = {"--coordinator": coordinator, "--num_processes": count, "--process_id": number}
  missing = [flag for flag, value in flags.items() if value is None]
  if missing:
    raise InputError(
      f"several processes need --coordinator, --num_processes and --process_id: missing "
      f"{', '.join(missing)}. Hint: give all three, {_ALONE}."
    )
  assert count is not None
  assert number is not None
  if not 0 <= number < count:
    raise InputError(f"--process_id must be from 0 to {count - 1}: got {number}.")
  return dataclasses.replace(
    hosts, coordinator=coordinator, num_processes=count, process_id=number, local_devices=local
  )


def _announcement() -> str | None:
  """Returns the announcement of several processes, as `"SLURM_NTASKS=2 announces ..."`, or None."""
  numbers = {name: _number(name) for name in (*_COUNTS, *_NUMBERS)}
  signs = [
    *(name for name in _COUNTS if numbers[name] > 1),
    *(name for name in _NUMBERS if numbers[name] > 0),
    *(name for name in _LISTS if "," in os.environ.get(name, "")),
    # Of an indexed Job each pod has a number, and none knows how many there are.
    *(name for name in ("JOB_COMPLETION_INDEX", "JAX_COORDINATOR_ADDRESS") if os.environ.get(name)),
  ]
  return f"{signs[0]}={os.environ[signs[0]]} announces several processes" if signs else None


def _number(name: str) -> int:
  """Returns the number in an environment variable, 0 where it is not set."""
  text = os.environ.get(name, "0")
  if not text.isdecimal():
    raise InputError(
      f"the cluster's variable {name} must be a whole number: got {text!r}. Hint: start the "
      f"processes with the cluster's launcher (srun), give --coordinator, --num_processes and "
      f"--process_id, {_ALONE}."
    )
  return int(text)


def _missing_of_slurm() -> str:
  missing = [f"SLURM_{name}" for name in _OF_SLURM if not os.environ.get(f"SLURM_{name}")]
  return f" (not set: {', '.join(missing)})" if 0 < len(missing) < len(_OF_SLURM) else ""


def _ask_jax(
  coordinator: str | None, count: int | None, number: int | None, timeout: int
) -> tuple[str | None, int | None, int | None, tuple[int, ...] | None]:
  """Completes coordinator, count and number by what JAX finds out, and adds the local devices."""
  try:
    coordinator, count, number, local = ClusterEnv.auto_detect_unset_distributed_params(
      coordinator, count, number, None, None, timeout
    )
  # It parses what it finds, asks servers and calls libraries that it may find: anything comes.
  except Exception as error:
    told = " ".join(str(error).split())
    raise InputError(
      f"this cluster does not say who takes part: {type(error).__name__}: {told}"
      f"{_missing_of_slurm()}. Hint: give --coordinator, --num_processes and --process_id, "
      f"{_ALONE}."
    ) from error
  return coordinator, count, number, None if local is None else tuple(local)
