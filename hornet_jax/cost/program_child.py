"""Lowers and compiles a train step for a TPU, in a process that its parent may end.

Run by `hornet_jax.cost.ahead_of_time` as `python -m hornet_jax.cost.program_child FOLDER`, with
the compiler's settings in the environment. The folder holds `request.json`; what comes of it is
written there too.
"""

import hashlib
import json
import math
import pathlib
import sys
from typing import Any

import jax
from jax.experimental import topologies

from hornet_jax.errors import InputError
from hornet_jax.train.mesh import make_mesh
from hornet_jax.train.program import TrainProgram, compiler_options


def main(folder: pathlib.Path) -> None:
  """Writes `lowered.json`, then `failed.json` or, with `full`, `compiled.txt`.

  The compiler's own reports come in between, where the environment asks for them.
  """
  request = json.loads((folder / "request.json").read_text())
  try:
    program = _program(request)
    lowered = program.lower_train_step()
  except InputError as error:
    _write(folder, "refused", {"message": str(error)})
    return
  options = compiler_options(program.mesh)
  key = hashlib.sha256(
    json.dumps([request["topology"], request["libtpu"], options, request["full"]]).encode()
    + lowered.as_text().encode()
  ).hexdigest()
  _write(folder, "lowered", {"key": key, **_arithmetic(program)})
  if request["lower_only"] or (pathlib.Path(request["cache"]) / f"{key}.json").exists():
    return
  try:
    compiled = lowered.compile(options)
  except jax.errors.JaxRuntimeError as error:
    _write(folder, "failed", {"message": str(error)})
    return
  (folder / "compiled.txt").write_text(compiled.as_text() or "")


def _program(request: dict[str, Any]) -> TrainProgram:
  config = request["config"]
  described = topologies.get_topology_desc(topology_name=request["topology"], platform="tpu")
  mesh = make_mesh(described.devices, config["mesh"]["fsdp"])
  program = TrainProgram(
    config, mesh, num_classes=request["num_classes"], num_examples=request["num_examples"]
  )
  program.check_batch()
  return program


def _arithmetic(program: TrainProgram) -> dict[str, Any]:
  """What each device keeps, from shapes and shardings alone."""
  state = program.abstract_state()
  return {
    "params": bytes_a_device(state.params),
    "averages": bytes_a_device(state.ema_params),
    "optimizer": bytes_a_device(state.opt_state),
    "batch": bytes_a_device(program.abstract_batch(program.config["data"]["batch_size"])),
    "num_params": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
    "total_steps": program.total_steps,
  }


def bytes_a_device(tree: Any) -> int:
  """Of arrays that are described with their shardings."""
  return sum(
    math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
    for leaf in jax.tree.leaves(tree)
  )


def _write(folder: pathlib.Path, name: str, content: dict[str, Any]) -> None:
  # Renamed when complete: the parent looks for the name.
  unfinished = folder / f"{name}.unfinished"
  unfinished.write_text(json.dumps(content))
  unfinished.rename(folder / f"{name}.json")


if __name__ == "__main__":
  main(pathlib.Path(sys.argv[1]))
