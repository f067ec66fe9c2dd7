"""This module times how long the train step of a config takes to be ready, by how it starts.

Each start is a process of its own.
"""

import copy
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

from hornet_jax.bench.result import Result
from hornet_jax.cost.hardware import parse_topology
from hornet_jax.cost.xla.compile import compiler_environment
from hornet_jax.errors import InputError

FIRST = "first start"


def time_starts(
  config: Mapping[str, Any], num_classes: int, num_examples: int, topology: str | None = None
) -> Result:
  """Times the seconds until the step can run: traced, lowered and compiled.

  Args:
    config: nested config, with the keys of `config.schema`; `model.scan` is varied.
    num_classes: number of classes of the dataset.
    num_examples: size of its training split.
    topology: topology of TPUs that are not there, such as v5e:2x4; None for this machine's devices.
      A program that is compiled for absent TPUs cannot be loaded, so only first starts are timed.

  Raises:
    InputError: if the config does not suit the devices.
  """
  with tempfile.TemporaryDirectory(prefix="hornet-bench-") as name:
    folder = pathlib.Path(name)

    def start(scan: bool, cache: str = "") -> dict[str, float]:
      changed = copy.deepcopy(dict(config))
      changed["model"]["scan"] = scan
      request = {
        "config": changed,
        "num_classes": num_classes,
        "num_examples": num_examples,
        "topology": topology,
      }
      return _run(request, str(folder / cache) if cache else "")

    starts = {"unrolled": start(scan=False)}
    if topology:
      starts[FIRST] = start(scan=True)
    else:
      starts[FIRST] = start(scan=True, cache="cache")
      starts["again, compilation cache"] = start(scan=True, cache="cache")
  total = {by: seconds["lowering"] + seconds["compiling"] for by, seconds in starts.items()}
  rows = [
    {
      "start": by,
      "lowering s": seconds["lowering"],
      "compiling s": seconds["compiling"],
      "in all s": total[by],
      f"to {FIRST}": total[by] / total[FIRST],
    }
    for by, seconds in starts.items()
  ]
  where = topology or "this machine"
  return Result(
    f"train step of {config['model']['variant']} for {where}, a process each",
    rows,
    ["all but `unrolled` compile the equal blocks of a stage once; time to import is left out"],
  )


def _run(request: dict[str, Any], cache: str) -> dict[str, float]:
  if request["topology"]:
    environment = compiler_environment(parse_topology(request["topology"]))
  else:
    environment = os.environ | {
      "JAX_COMPILATION_CACHE_DIR": cache,
      "JAX_ENABLE_COMPILATION_CACHE": str(bool(cache)).lower(),
    }
  child = subprocess.run(
    [sys.executable, "-m", "hornet_jax.bench.compile_child", json.dumps(request)],
    env=environment,
    capture_output=True,
    text=True,
    check=False,
  )
  if child.returncode:
    raise RuntimeError(f"a start ended with {child.returncode}:\n{child.stderr[-4000:]}")
  seconds = json.loads(child.stdout.splitlines()[-1])
  if "refused" in seconds:
    raise InputError(seconds["refused"])
  return seconds
