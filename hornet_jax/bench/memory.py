"""Memory of the train step of a config by what is recomputed, on this machine's devices."""

import copy
from collections.abc import Mapping
from typing import Any

from hornet_jax.bench.result import Result
from hornet_jax.cost.work import recomputed_share
from hornet_jax.models.stage import REMAT
from hornet_jax.train.mesh import make_mesh
from hornet_jax.train.program import TrainProgram


def measure_memory(config: Mapping[str, Any], num_classes: int, num_examples: int) -> Result:
  """Compiles the step once for each policy; nothing is run.

  Args:
    config: nested, with the keys of configs/common.py.
    num_classes: of the dataset.
    num_examples: of its training split.
  """
  rows = []
  for remat in REMAT:
    changed = copy.deepcopy(dict(config))
    changed["model"]["remat"] = remat
    program = TrainProgram(changed, make_mesh(), num_classes=num_classes, num_examples=num_examples)
    program.check_batch()
    memory: Any = program.compile_train_step().memory_analysis()
    rows.append(
      {
        "remat": remat,
        "MiB of temporaries": memory.temp_size_in_bytes / 2**20,
        "MiB of arguments": memory.argument_size_in_bytes / 2**20,
        "computed again, %": 100 * recomputed_share(program.model, config["data"]["image_size"]),
      }
    )
  images = config["data"]["batch_size"]
  notes = ["computed again: share of the multiply-accumulates of a step without recomputation"]
  return Result(
    f"train step of {config['model']['variant']}, {config['model']['dtype']}, {images} images on "
    f"{program.mesh.size} devices; of one device",
    rows,
    notes,
  )
