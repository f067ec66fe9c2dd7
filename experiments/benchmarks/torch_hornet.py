"""HorNet in PyTorch, as plainly as the paper says it: what the JAX models are timed against.

The order of channels, norms and layers is that of the official model; parameters have no names of
its files.
"""

import itertools

import torch
from torch import nn

DEPTHS, ORDERS = (2, 3, 18, 2), (2, 3, 4, 5)


class Norm(nn.LayerNorm):
  """LayerNorm over the channels of [B, C, H, W]."""

  def __init__(self, dim):
    super().__init__(dim, eps=1e-6)

  def forward(self, x):
    return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class GlobalLocalFilter(nn.Module):
  def __init__(self, dim, size):
    super().__init__()
    self.dw = nn.Conv2d(dim // 2, dim // 2, 3, padding=1, groups=dim // 2, bias=False)
    self.spectral = nn.Parameter(torch.randn(dim // 2, *size, 2) * 0.02)
    self.pre_norm, self.post_norm = Norm(dim), Norm(dim)

  def forward(self, x):
    local, spectral = self.pre_norm(x).chunk(2, dim=1)
    grid = spectral.shape[2:]
    local = self.dw(local)
    spectral = torch.fft.rfft2(spectral, norm="ortho") * torch.view_as_complex(
      self.spectral.contiguous()
    )
    spectral = torch.fft.irfft2(spectral, s=grid, norm="ortho")
    return self.post_norm(torch.stack([local, spectral], dim=2).flatten(1, 2))


class GnConv(nn.Module):
  def __init__(self, dim, order, spectral_size):
    super().__init__()
    self.dims = [dim // 2**k for k in reversed(range(order))]
    width = sum(self.dims)
    self.proj_in = nn.Conv2d(dim, 2 * dim, 1)
    if spectral_size:
      self.filter = GlobalLocalFilter(width, spectral_size)
    else:
      self.filter = nn.Conv2d(width, width, 7, padding=3, groups=width)
    pairs = itertools.pairwise(self.dims)
    self.pws = nn.ModuleList(nn.Conv2d(narrow, wide, 1) for narrow, wide in pairs)
    self.proj_out = nn.Conv2d(dim, dim, 1)

  def forward(self, x):
    p, q = self.proj_in(x).split([self.dims[0], sum(self.dims)], dim=1)
    first, *rest = (self.filter(q) / 3).split(self.dims, dim=1)
    p = p * first
    for pw, gate in zip(self.pws, rest, strict=True):
      p = pw(p) * gate
    return self.proj_out(p)


class Block(nn.Module):
  def __init__(self, dim, order, spectral_size):
    super().__init__()
    self.norm1, self.norm2 = Norm(dim), nn.LayerNorm(dim, eps=1e-6)
    self.gnconv = GnConv(dim, order, spectral_size)
    self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
    self.scale1, self.scale2 = (nn.Parameter(torch.full((dim,), 1e-6)) for _ in range(2))

  def forward(self, x):
    x = x + self.scale1[:, None, None] * self.gnconv(self.norm1(x))
    branch = self.fc2(nn.functional.gelu(self.fc1(self.norm2(x.permute(0, 2, 3, 1)))))
    return x + (self.scale2 * branch).permute(0, 3, 1, 2)


class HorNet(nn.Module):
  """HorNet-T at 224, `global_filter` for the filter of stages 3 and 4."""

  def __init__(self, dim=64, global_filter=False, num_classes=1000):
    super().__init__()
    spectral = (None, None, (14, 8), (7, 4)) if global_filter else (None,) * 4
    layers = [nn.Conv2d(3, dim, 4, 4), Norm(dim)]
    for i, (depth, order, size) in enumerate(zip(DEPTHS, ORDERS, spectral, strict=True)):
      width = dim * 2**i
      if i:
        layers += [Norm(width // 2), nn.Conv2d(width // 2, width, 2, 2)]
      layers += [Block(width, order, size) for _ in range(depth)]
    self.features = nn.Sequential(*layers)
    self.norm = nn.LayerNorm(dim * 8, eps=1e-6)
    self.head = nn.Linear(dim * 8, num_classes)

  def forward(self, images):
    return self.head(self.norm(self.features(images).mean((2, 3))))
