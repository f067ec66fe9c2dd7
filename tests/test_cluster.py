"""Who takes part: nothing goes on alone where a cluster announces others."""

import jax
import pytest

from hornet_jax.errors import InputError
from hornet_jax.parallel import cluster
from hornet_jax.parallel.cluster import Hosts, detect
from hornet_jax.parallel.distributed import initialize

SLURM = {
  "SLURM_JOB_ID": "7",
  "SLURM_STEP_NODELIST": "node[3-4]",
  "SLURM_NTASKS": "2",
  "SLURM_PROCID": "1",
  "SLURM_LOCALID": "0",
}
ALONE = "--num_processes=1 to run alone"


@pytest.fixture
def announce(monkeypatch):
  """Sets the variables of a cluster; without, none is set."""
  for name in (*cluster._COUNTS, *cluster._NUMBERS, *cluster._LISTS, *SLURM):
    monkeypatch.delenv(name, raising=False)
  for name in ("JOB_COMPLETION_INDEX", "JAX_COORDINATOR_ADDRESS", "KUBERNETES_SERVICE_HOST"):
    monkeypatch.delenv(name, raising=False)

  def set_all(variables):
    for name, value in variables.items():
      monkeypatch.setenv(name, value)

  return set_all


def without(name):
  return {key: value for key, value in SLURM.items() if key != name}


def test_alone_where_nothing_is_announced(announce):
  assert detect(Hosts()).num_processes == 1


def test_slurm_tells_all(announce):
  announce(SLURM)
  hosts = detect(Hosts())
  assert hosts.coordinator.startswith("node3:")
  assert (hosts.num_processes, hosts.process_id) == (2, 1)


def test_one_task_of_slurm_is_alone(announce):
  announce({**SLURM, "SLURM_NTASKS": "1", "SLURM_PROCID": "0"})
  assert detect(Hosts()).num_processes == 1


@pytest.mark.parametrize(
  ("variables", "message"),
  [
    ({**SLURM, "SLURM_NTASKS": ""}, "SLURM_NTASKS must be a whole number: got ''"),
    ({**SLURM, "SLURM_PROCID": "x"}, "SLURM_PROCID must be a whole number: got 'x'"),
    ({**SLURM, "SLURM_STEP_NODELIST": ""}, "where process 0 is .not set: SLURM_STEP_NODELIST"),
    ({**SLURM, "SLURM_JOB_ID": ""}, "this cluster does not say who takes part: ValueError"),
    ({**SLURM, "SLURM_LOCALID": ""}, "this cluster does not say who takes part: ValueError"),
    (without("SLURM_STEP_NODELIST"), "SLURM_NTASKS=2 announces .*not set: SLURM_STEP_NODELIST"),
    (without("SLURM_NTASKS"), "SLURM_PROCID=1 announces .*not set: SLURM_NTASKS"),
    ({"TPU_WORKER_HOSTNAMES": "a,b"}, "TPU_WORKER_HOSTNAMES=a,b announces several"),
    ({"TPU_WORKER_ID": ""}, "TPU_WORKER_ID must be a whole number: got ''"),
    ({"MEGASCALE_NUM_SLICES": "2"}, "MEGASCALE_NUM_SLICES=2 announces several"),
    ({"JOB_COMPLETION_INDEX": "0"}, "JOB_COMPLETION_INDEX=0 announces several"),
    ({"OMPI_COMM_WORLD_SIZE": "2"}, "OMPI_COMM_WORLD_SIZE=2 announces several"),
    ({"JAX_COORDINATOR_ADDRESS": "a:1"}, "missing --num_processes, --process_id"),
  ],
)
def test_what_is_announced_and_not_understood_is_refused(announce, variables, message):
  announce(variables)
  with pytest.raises(InputError, match=message) as raised:
    initialize(Hosts(), pytest.fail)
  assert ALONE in str(raised.value)
  assert "\n" not in str(raised.value)
  assert detect(Hosts(num_processes=1)).num_processes == 1


def test_two_tasks_that_used_jax_before_do_not_go_on_alone(announce):
  assert jax.devices()
  announce(SLURM)
  with pytest.raises(InputError, match="must not be in use before 2 processes come") as raised:
    initialize(Hosts(), pytest.fail)
  assert ALONE in str(raised.value)
  assert initialize(Hosts(num_processes=1), pytest.fail) is None


@pytest.mark.parametrize(
  ("hosts", "message"),
  [
    (Hosts("a:1", None, 0), "missing --num_processes"),
    (Hosts(None, 2, 0), "missing --coordinator"),
    (Hosts("a:1", 2, 2), "--process_id must be from 0 to 1: got 2"),
    (Hosts("host", 2, 0), "must be HOST:PORT, of process 0: got 'host'"),
  ],
)
def test_wrong_arguments(announce, hosts, message):
  with pytest.raises(InputError, match=message):
    initialize(hosts, pytest.fail)
