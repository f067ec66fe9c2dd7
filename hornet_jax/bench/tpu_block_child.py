"""This module compiles one block for an absent TPU; `hornet_jax.bench.tpu_blocks` runs it.

It prints the program's key and, unless its counts are kept already, what the compiler says of it.
"""

import hashlib
import json
import pathlib
import sys
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import SingleDeviceSharding

from hornet_jax.cost.xla.cycles import estimated_cycles
from hornet_jax.cost.xla.describe import describe_devices
from hornet_jax.models import create_model


def main(request: dict[str, Any], cache: pathlib.Path) -> None:
  """Lowers a block and, if the program is new, compiles it."""
  device = describe_devices(request["topology"])[0]
  lowered = lower_block(request["block"], request["images"], device)
  content = f"{request['libtpu']} {request['topology']} {lowered.as_text()}"
  found: dict[str, Any] = {"key": f"block-{hashlib.sha256(content.encode()).hexdigest()}"}
  if not (cache / f"{found['key']}.json").exists():
    compiled = lowered.compile()
    cost: Any = compiled.cost_analysis()
    found["cycles"], _ = estimated_cycles(compiled.as_text() or "")
    found["bytes"], found["flops"] = int(cost["bytes accessed"]), int(cost["flops"])
  print(json.dumps(found))


def lower_block(block: dict[str, Any], images: int, device: jax.Device) -> jax.stages.Lowered:
  """Lowers output and all gradients of a block, in bfloat16 with float32 parameters.

  Of blocks that take turns it is the last kind, which does all that the others do.
  """
  model: Any = create_model(block["variant"], dtype=jnp.bfloat16, **block["settings"])
  made: Any = model.block(block["stage"])
  constructor = made if callable(made) else made[-1]
  module: Any = constructor(execution=model.execution)
  sharding = SingleDeviceSharding(device)
  shape = (images, block["side"], block["side"], block["dim"])
  x = jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=sharding)
  params = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
    jax.eval_shape(module.init, jax.random.key(0), x),
  )

  def train(params: Any, x: jax.Array, g: jax.Array) -> Any:
    y, pullback = jax.vjp(module.apply, params, x)
    return y, pullback(g)

  return jax.jit(train).lower(params, x, x)


if __name__ == "__main__":
  main(json.loads(sys.argv[1]), pathlib.Path(sys.argv[2]))
