"""This program lowers and compiles a train step for a TPU; its parent may end it at any time.

`hornet_jax.cost.xla.compile` runs it as `python -m hornet_jax.cost.xla.compile_child FOLDER`, with
the compiler's settings in the environment. The folder holds `request.json`; results are written
there too.
"""

import hashlib
import json
import math
import pathlib
import sys
from typing import Any

import jax

from hornet_jax.config.imports import import_modules
from hornet_jax.cost.xla.describe import describe_devices
from hornet_jax.errors import InputError
from hornet_jax.parallel.mesh import make_mesh
from hornet_jax.train.trainer import Trainer, compiler_options


def main(folder: pathlib.Path) -> None:
  """Reads `request.json` and writes results beside it.

  These are `refused.json` where the config does not suit the devices; else `lowered.json`, and
  then `compiled.txt` or, where the compiler fails, `failed.json`. The compiler's own reports come
  in between, where the environment asks for them.
  """
  request = json.loads((folder / "request.json").read_text())
  try:
    trainer = _trainer(request)
    lowered = trainer.lower_train_step()
  except InputError as error:
    _write(folder, "refused", {"message": str(error)})
    return
  options = compiler_options(trainer.mesh)
  key = hashlib.sha256(
    json.dumps([request["topology"], request["libtpu"], options, request["full"]]).encode()
    + lowered.as_text().encode()
  ).hexdigest()
  _write(folder, "lowered", {"key": key, **_arithmetic(trainer)})
  if request["lower_only"] or (pathlib.Path(request["cache"]) / f"{key}.json").exists():
    return
  try:
    compiled = lowered.compile(options)
  except jax.errors.JaxRuntimeError as error:
    _write(folder, "failed", {"message": str(error)})
    return
  (folder / "compiled.txt").write_text(compiled.as_text() or "")


def _trainer(request: dict[str, Any]) -> Trainer:
  config = request["config"]
  import_modules(config["imports"])
  mesh = make_mesh(describe_devices(request["topology"]), config["mesh"]["fsdp"])
  trainer = Trainer(
    config, mesh, num_classes=request["num_classes"], num_examples=request["num_examples"]
  )
  trainer.check_batch()
  return trainer


def _arithmetic(trainer: Trainer) -> dict[str, Any]:
  """Computes the fields of `Lowered` from shapes and shardings alone."""
  state = trainer.abstract_state()
  return {
    "params": bytes_a_device(state.params),
    "averages": bytes_a_device((state.ema_params, state.model_state)),
    "optimizer": bytes_a_device(state.opt_state),
    "batch": bytes_a_device(trainer.abstract_batch()),
    "num_params": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
    "total_steps": trainer.total_steps,
  }


def bytes_a_device(tree: Any) -> int:
  """Sums the bytes on each device of a tree of abstract arrays with shardings."""
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
