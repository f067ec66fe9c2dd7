"""Writes resample.npz: what PyTorch makes of grids. Run: python tests/golden/make_resample.py

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
out = pathlib.Path(__file__).parent / "resample.npz"
np.savez_compressed(out, **{k: v.detach().numpy().transpose(0, 2, 3, 1) for k, v in arrays.items()})
