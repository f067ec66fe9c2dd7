"""This module measures the memory of a train step by remat policy, on this machine's devices."""

import copy
from collections.abc import Mapping
from typing import Any

from hornet_jax.bench.result import Result
from hornet_jax.cost.model_work import training_work
from hornet_jax.models.execution import REMAT
from hornet_jax.parallel.mesh import make_mesh
from hornet_jax.train.trainer import Trainer
from hornet_jax.wording import counted


def measure_memory(config: Mapping[str, Any], num_classes: int, num_examples: int) -> Result:
  """Compiles the step once for each policy; nothing is run.

  Args:
    config: nested config, with the keys of `config.schema`.
    num_classes: number of classes of the dataset.
    num_examples: size of its training split.
  """
  rows = []
  least_macs = None
  for remat in REMAT:
    changed = copy.deepcopy(dict(config))
    changed["model"]["remat"] = remat
    trainer = Trainer(changed, make_mesh(), num_classes=num_classes, num_examples=num_examples)
    trainer.check_batch()
    work = training_work(trainer.model, config["data"]["image_size"])
    macs = work.macs + work.fourier_macs
    least_macs = least_macs or macs  # the first policy recomputes nothing
    memory: Any = trainer.lower_train_step().compile().memory_analysis()
    rows.append(
      {
        "remat": remat,
        "MiB of temporaries": memory.temp_size_in_bytes / 2**20,
        "MiB of arguments": memory.argument_size_in_bytes / 2**20,
        "computed again, %": 100 * (macs / least_macs - 1),
      }
    )
  images = config["data"]["batch_size"]
  notes = ["computed again: share of the multiply-accumulates of a step without recomputation"]
  return Result(
    f"train step of {config['model']['variant']}, {config['model']['dtype']}, "
    f"{counted(images, 'image')} on {counted(trainer.mesh.size, 'device')}; of one device",
    rows,
    notes,
  )
