"""Writes dense.npz: what PyTorch makes of grids, and its schedule of a power.

Run: python tests/golden/make_dense.py

Needs PyTorch, in an environment of its own.
"""

import pathlib

import numpy as np
import torch
from torch.nn import functional

torch.manual_seed(0)
arrays = {}
for source, target in [
  ((4, 6), (8, 12)),
  ((2, 3), (8, 12)),
  ((3, 5), (7, 5)),
  ((6, 8), (3, 5)),
  ((1, 1), (4, 3)),
  ((1, 4), (3, 12)),
  ((5, 7), (5, 7)),
]:
  x = torch.randn(2, 3, *source, requires_grad=True)
  y = functional.interpolate(x, size=target, mode="bilinear", align_corners=False)
  (y**2).mean().backward()
  name = f"resize/{source[0]}x{source[1]}/{target[0]}x{target[1]}"
  arrays |= {f"{name}/x": x, f"{name}/y": y, f"{name}/gradient": x.grad}
for source, bins in [((6, 6), 3), ((7, 5), 3), ((16, 20), 6), ((4, 3), 6), ((2, 3), 2)]:
  x = torch.randn(2, 3, *source, requires_grad=True)
  y = functional.adaptive_avg_pool2d(x, bins)
  (y**2).mean().backward()
  name = f"average/{source[0]}x{source[1]}/{bins}"
  arrays |= {f"{name}/x": x, f"{name}/y": y, f"{name}/gradient": x.grad}
arrays = {k: v.detach().numpy().transpose(0, 2, 3, 1) for k, v in arrays.items()}

for power in (1.0, 0.9):
  optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-4)
  schedulers = [
    torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1e-6, total_iters=8),
    torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=40, power=power),
  ]
  chained = torch.optim.lr_scheduler.ChainedScheduler(schedulers)
  rates = []
  for _ in range(40):
    rates.append(optimizer.param_groups[0]["lr"])
    optimizer.step()
    chained.step()
  arrays[f"poly/{power}"] = np.array(rates)

np.savez_compressed(pathlib.Path(__file__).parent / "dense.npz", **arrays)
