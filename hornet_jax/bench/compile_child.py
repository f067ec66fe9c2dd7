"""This module is run by `hornet_jax.bench.compile`: it times one start and prints JSON."""

import json
import sys
import time

import jax

from hornet_jax.config.imports import import_modules
from hornet_jax.cost.xla.describe import describe_devices
from hornet_jax.errors import InputError
from hornet_jax.parallel.mesh import make_mesh
from hornet_jax.train.trainer import Trainer, compiler_options


def main(request: dict) -> None:
  """Times what a run does before its first step, in two parts."""
  devices = jax.devices()
  if request["topology"]:
    devices = describe_devices(request["topology"])
  try:
    import_modules(request["config"]["imports"])
    trainer = Trainer(
      request["config"],
      make_mesh(devices),
      num_classes=request["num_classes"],
      num_examples=request["num_examples"],
    )
    trainer.check_batch()
  except InputError as error:
    print(json.dumps({"refused": str(error)}))
    return
  begin = time.perf_counter()
  lowered = trainer.lower_train_step()
  traced = time.perf_counter()
  lowered.compile(compiler_options(trainer.mesh))
  compiled = time.perf_counter()
  print(json.dumps({"lowering": traced - begin, "compiling": compiled - traced}))


if __name__ == "__main__":
  main(json.loads(sys.argv[1]))
