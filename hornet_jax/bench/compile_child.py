"""One start of a train step; run by `hornet_jax.bench.compile`, prints its seconds as JSON."""

import json
import sys
import time

import jax
from etils import epath
from jax.experimental import topologies

from hornet_jax.errors import InputError
from hornet_jax.train.executables import Executables
from hornet_jax.train.mesh import make_mesh
from hornet_jax.train.program import TrainProgram, compiler_options


def main(request: dict) -> None:
  """Times what a run does before its first step, in two parts."""
  devices = jax.devices()
  if request["topology"]:
    described = topologies.get_topology_desc(topology_name=request["topology"], platform="tpu")
    devices = described.devices
  try:
    program = TrainProgram(
      request["config"],
      make_mesh(devices),
      num_classes=request["num_classes"],
      num_examples=request["num_examples"],
    )
    program.check_batch()
  except InputError as error:
    print(json.dumps({"refused": str(error)}))
    return
  marks = []  # lowered, compiled; none where a kept program is loaded

  def compile_program() -> jax.stages.Compiled:
    lowered = program.lower_train_step()
    marks.append(time.perf_counter())
    compiled = lowered.compile(compiler_options(program.mesh))
    marks.append(time.perf_counter())
    return compiled

  begin = time.perf_counter()
  if request["keep"]:
    Executables(epath.Path(request["keep"]), devices, request["config"]).get(
      "train_step", compile_program
    )
  else:
    compile_program()
  lowered, ready = marks or (begin, time.perf_counter())
  print(json.dumps({"lowering": lowered - begin, "compiling": ready - lowered}))


if __name__ == "__main__":
  main(json.loads(sys.argv[1]))
