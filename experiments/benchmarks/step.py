"""Models in JAX against PyTorch: forward pass and train step, one process, interleaved.

GLIBC_TUNABLES=glibc.malloc.hugetlb=1 python experiments/benchmarks/step.py --variant=hornet_tiny_gf

HorNet in PyTorch is torch_hornet.py, other models are timm's. On a GPU, where both need memory:
XLA_PYTHON_CLIENT_MEM_FRACTION=0.45.
"""

import argparse
import contextlib
import time

import jax
import jax.numpy as jnp
import torch
from torch_hornet import HorNet

from hornet_jax.bench.result import Result, timed
from hornet_jax.bench.rounds import time_interleaved
from hornet_jax.bench.step import make_forward, make_train_step
from hornet_jax.cost import count_params
from hornet_jax.models import create_model

IMAGE = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
KINDS = ("eager", "channels-last", "compile")
# Name of the same model in timm.
TIMM = {
  "convnext_tiny": "convnext_tiny",
  "swin_tiny": "swin_tiny_patch4_window7_224",
  "deit_small": "deit_small_patch16_224",
}
TOKENS = ("swin_tiny", "deit_small")  # their channels are last in any case
# With `cpu`, OMP_WAIT_POLICY=PASSIVE keeps threads of PyTorch that wait from counting.
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
DEVICE = "cuda" if jax.default_backend() == "gpu" else "cpu"


def new_model(variant):
  if variant not in TIMM:
    return HorNet(global_filter=variant.endswith("gf"))
  import timm  # late: HorNet needs no timm

  return timm.create_model(TIMM[variant])


def torch_model(variant, kind):
  model = new_model(variant)
  count = sum(parameter.numel() for parameter in model.parameters())
  shapes = jax.eval_shape(create_model(variant).init, jax.random.key(0), IMAGE)
  expected = count_params(shapes)
  assert count == expected, f"{variant}: {count:,} parameters instead of {expected:,}"
  model = model.to(DEVICE)
  return model.to(memory_format=torch.channels_last) if channels_last(variant, kind) else model


def torch_images(variant, batch_size, kind):
  images = torch.randn(batch_size, 3, 224, 224, device=DEVICE)
  if not channels_last(variant, kind):
    return images
  return images.contiguous(memory_format=torch.channels_last)


def channels_last(variant, kind):
  return kind != "eager" and variant not in TOKENS


def precision(dtype):
  if dtype == "float32":
    return contextlib.nullcontext()
  return torch.autocast(DEVICE, torch.bfloat16)


def torch_forward(variant, batch_size, kind, dtype):
  model, images = torch_model(variant, kind).eval(), torch_images(variant, batch_size, kind)
  call = torch.compile(model) if kind == "compile" else model

  def forward():
    with torch.inference_mode(), precision(dtype):
      return call(images).float().cpu().numpy()

  forward()
  return forward


def torch_train_step(variant, batch_size, kind, dtype):
  model, images = torch_model(variant, kind).train(), torch_images(variant, batch_size, kind)
  labels = torch.arange(batch_size, device=DEVICE)
  optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
  call = torch.compile(model) if kind == "compile" else model

  def step():
    optimizer.zero_grad(set_to_none=True)
    with precision(dtype):
      loss = torch.nn.functional.cross_entropy(call(images), labels)
    loss.backward()
    optimizer.step()
    if DEVICE == "cuda":
      torch.cuda.synchronize()
    return loss.detach().cpu().numpy()

  step()
  return step


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument(
    "--variant", choices=("hornet_tiny_7x7", "hornet_tiny_gf", *TIMM), required=True
  )
  parser.add_argument("--rounds", type=int, default=7)
  parser.add_argument("--forward_batch", type=int, default=8)
  parser.add_argument("--train_batch", type=int, default=4)
  parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
  parser.add_argument("--no_compile", action="store_true", help="leave torch.compile out")
  parser.add_argument(
    "--clock",
    choices=CLOCKS,
    default="wall",
    help="cpu: seconds of all cores, where other jobs share them (default: %(default)s)",
  )
  args = parser.parse_args()
  left_out = {"compile"} if args.no_compile else set()
  left_out |= {"channels-last"} if args.variant in TOKENS else set()
  kinds = [kind for kind in KINDS if kind not in left_out]
  passes = (
    ("forward", args.forward_batch, make_forward, torch_forward),
    ("train step", args.train_batch, make_train_step, torch_train_step),
  )
  rows = []
  for of, images, ours, theirs in passes:
    candidates = {"hornet_jax": ours(args.variant, images, dtype=args.dtype)}
    candidates |= {
      f"PyTorch {kind}": theirs(args.variant, images, kind, args.dtype) for kind in kinds
    }
    seconds = time_interleaved(candidates, args.rounds, CLOCKS[args.clock])
    rows += [{"of": of, "images": images, **row} for row in timed(seconds, "hornet_jax")]
  torch_version = f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads"
  title = (
    f"{args.variant} at 224, {args.dtype}, {args.clock} time; above 1 is faster than hornet_jax"
  )
  print(Result(title, rows, [torch_version]).table())


if __name__ == "__main__":
  main()
