"""This module compiles a train step for TPUs that are not there, in a process of its own.

Memory and collectives are known before the compiler generates code, in a fraction of the time
that the whole takes: the process is ended then, unless all is wanted.
"""

import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

from hornet_jax.cost.hardware import Topology
from hornet_jax.cost.memory import Memory, read_exceeded, read_memory
from hornet_jax.cost.xla.collectives import Collective, read_collectives
from hornet_jax.cost.xla.cycles import Slowest, estimated_cycles
from hornet_jax.errors import InputError
from hornet_jax.paths import cache_folder

_POLL_SECONDS = 0.5
_FORMAT = 2  # of the cached results

Progress = Callable[[str, float], None]
"""A function that is called with what is being done, and the seconds since the start."""


@dataclasses.dataclass(frozen=True)
class Request:
  """A request says what is compiled, and how far.

  Attributes:
    config: nested dictionary with the keys of `config.schema`.
    topology: slice of TPU chips.
    num_classes: number of classes of the dataset.
    num_examples: number of examples of the training split.
    full: whether the compiler shall finish, for its estimates of cycles.
    lower_only: whether the compiler shall not start: the program is only lowered.
  """

  config: Mapping[str, Any]
  topology: Topology
  num_classes: int
  num_examples: int
  full: bool = False
  lower_only: bool = False


@dataclasses.dataclass(frozen=True)
class Lowered:
  """A `Lowered` holds what is known without the compiler; bytes are those of one device.

  Attributes:
    key: hash of the program, the compiler and its options.
    params: bytes of the parameters.
    averages: bytes of their moving average, and of the state of the model.
    optimizer: bytes of the optimiser's state.
    batch: bytes of the device's rows of the batch.
    num_params: elements of the whole parameters.
    total_steps: number of training steps of the run.
  """

  key: str
  params: int
  averages: int
  optimizer: int
  batch: int
  num_params: int
  total_steps: int

  @property
  def state(self) -> int:
    """Gives the bytes of the train state, which lives from step to step."""
    return self.params + self.averages + self.optimizer


@dataclasses.dataclass(frozen=True)
class Compiled:
  """A `Compiled` holds the results of the compiler.

  Attributes:
    memory: memory needed on a device, which may be more than it has; None where the compiler
      gave up before.
    collectives: collectives of a step; None where the compiler gave up.
    needs: bytes that it wanted for temporary arrays when it gave up; None if it did not.
    cycles: cycles of a step, summed over the compiler's estimates; None unless it finished.
    seconds: time that it took, lowering included.
    slowest: operation that has most of the cycles; None where that is not known.
  """

  memory: Memory | None
  collectives: list[Collective] | None
  needs: int | None
  cycles: int | None
  seconds: float
  slowest: Slowest | None = None


def check_compiler() -> str:
  """Returns the version of libtpu, the TPU compiler.

  Raises:
    InputError: if it is not installed.
  """
  if importlib.util.find_spec("libtpu") is None:
    raise InputError(
      "this needs the TPU compiler, libtpu (Linux on x86-64, 137 MB): expected it to be "
      f"installed. Hint: {sys.executable} -m pip install libtpu"
    )
  return importlib.metadata.version("libtpu")


def compile_program(
  request: Request, time_limit: float, cache: pathlib.Path, progress: Progress
) -> tuple[Lowered, Compiled | None]:
  """Lowers and compiles a train step, or takes the result of a former call from `cache`.

  Args:
    request: train step and devices.
    time_limit: seconds after which the compiler is given up.
    cache: folder of results.
    progress: function that is called about twice a second.

  Returns:
    What is known without the compiler, and its results, None with `lower_only`.

  Raises:
    InputError: if the config does not suit the devices, or the time limit is reached.
  """
  libtpu = check_compiler()
  start = time.monotonic()
  cache.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(prefix="hornet-plan-") as name:
    folder = pathlib.Path(name)
    content = {
      "config": request.config,
      "topology": request.topology.name,
      "num_classes": request.num_classes,
      "num_examples": request.num_examples,
      "full": request.full,
      "lower_only": request.lower_only,
      "libtpu": f"{libtpu} {_FORMAT}",
      "cache": str(cache),
    }
    (folder / "request.json").write_text(json.dumps(content))
    dumps = f"--xla_dump_to={folder} --xla_dump_hlo_as_text --xla_dump_hlo_module_re=jit_train_step"
    with (folder / "log").open("wb") as log:
      child = subprocess.Popen(
        [sys.executable, "-m", "hornet_jax.cost.xla.compile_child", name],
        env=compiler_environment(request.topology) | {"XLA_FLAGS": dumps},
        stdout=log,
        stderr=log,
      )
    try:
      _wait(child, folder, request, start, time_limit, progress)
    finally:
      child.kill()
      child.wait()
    lowered = Lowered(**json.loads((folder / "lowered.json").read_text()))
    if request.lower_only:
      return lowered, None
    cached = cache / f"{lowered.key}.json"
    if cached.exists():
      return lowered, _from_json(json.loads(cached.read_text()))
    compiled = _read(folder, request.topology.num_devices, time.monotonic() - start)
    keep_result(cached, dataclasses.asdict(compiled))
    return lowered, compiled


def compiler_environment(topology: Topology) -> dict[str, str]:
  """Returns the environment variables of a process that compiles for TPUs that are not there."""
  package = pathlib.Path(__file__).parents[2]
  path = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH", "")]))
  return os.environ | {
    "XLA_FLAGS": "",  # libtpu ends at a flag that it does not know, such as one for a CPU
    "PYTHONPATH": path,
    "JAX_PLATFORMS": "cpu",
    # Not to look for a TPU, nor to mind another process that holds the compiler.
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": topology.accelerator_type,
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    # What is compiled for a TPU cannot be read back without one.
    "JAX_ENABLE_COMPILATION_CACHE": "false",
  }


def results_folder() -> pathlib.Path:
  """Returns the folder where results are kept, so that no program is compiled twice."""
  return cache_folder() / "plan"


def keep_result(path: pathlib.Path, content: Mapping[str, Any]) -> None:
  """Writes a result as JSON, whole or not at all, even if another process writes it too."""
  with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as unfinished:
    json.dump(content, unfinished)
  pathlib.Path(unfinished.name).rename(path)


def _wait(
  child: subprocess.Popen,
  folder: pathlib.Path,
  request: Request,
  start: float,
  time_limit: float,
  progress: Progress,
) -> None:
  """Returns when all that is wanted lies in the folder."""
  before: list[int] = []
  while True:
    ended = child.poll() is not None
    seconds = time.monotonic() - start
    refused = folder / "refused.json"
    if refused.exists():
      raise InputError(json.loads(refused.read_text())["message"])
    is_lowered = (folder / "lowered.json").exists()
    if ended:
      if is_lowered and child.returncode == 0:
        return
      log = (folder / "log").read_text(errors="replace")
      raise RuntimeError(f"the compiling process ended with {child.returncode}:\n{log[-4000:]}")
    if is_lowered and not request.full:
      # Complete when nothing grows any more.
      sizes = [path.stat().st_size for path in _reports(folder)]
      if len(sizes) == 3 and sizes == before:
        return
      before = sizes
    if seconds > time_limit:
      raise InputError(
        f"the compiler must finish within the time limit: expected {time_limit:.0f} s, and it is "
        "still at work. Hint: a larger --time_limit, or --lower_only."
      )
    progress("compiling" if is_lowered else "lowering", seconds)
    time.sleep(_POLL_SECONDS)


def _reports(folder: pathlib.Path) -> list[pathlib.Path]:
  """Lists the reports of memory, buffers and program, as far as they are there yet."""
  endings = ("-memory-usage-report.txt", "-buffer-assignment.txt", ".txt")
  return [
    path
    for ending in endings
    for path in folder.glob(f"*jit_train_step*.after_optimizations{ending}")
    if path.stat().st_size > 0
  ]


def _read(folder: pathlib.Path, num_devices: int, seconds: float) -> Compiled:
  reports = [path.read_text() for path in _reports(folder)]
  if len(reports) == 3:
    memory = read_memory(*reports[:2])
    finished = folder / "compiled.txt"
    collectives = read_collectives(reports[2], num_devices)
    if not finished.exists():
      return Compiled(memory, collectives, None, None, seconds)
    cycles, slowest = estimated_cycles(finished.read_text())
    return Compiled(memory, collectives, None, cycles, seconds, slowest)
  # Far too much memory is noticed before there are reports.
  message = json.loads((folder / "failed.json").read_text())["message"]
  needs = read_exceeded(message)
  if "RESOURCE_EXHAUSTED" not in message or needs is None:
    raise RuntimeError(f"the compiler failed: {message[:4000]}")
  return Compiled(None, None, needs, None, seconds)


def _from_json(content: dict[str, Any]) -> Compiled:
  if content["memory"] is not None:
    content["memory"] = Memory(**content["memory"])
    content["collectives"] = [Collective(**fields) for fields in content["collectives"]]
  if content.get("slowest") is not None:
    content["slowest"] = Slowest(**content["slowest"])
  return Compiled(**content)
