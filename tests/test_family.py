"""Sizes of a design, for every architecture of the package that has a width and depths."""

import pytest

from hornet_jax.errors import InputError
from hornet_jax.studies.design import read_design, sizes_of
from hornet_jax.studies.family import (
  nearest_width,
  with_depth,
  with_image_size,
  with_width,
)

MICRO = (
  *("hornet_micro_gf", "hornet_iso_micro_7x7", "convnext_micro", "convnext_iso_micro"),
  *("swin_micro", "deit_micro", "ladder_micro_se", "ladder_micro_g2345_attention"),
)


def design(text, image_size=None):
  return read_design(text, image_size, 10)


@pytest.mark.parametrize("name", MICRO)
def test_every_architecture_has_sizes(name):
  base = design(name)
  width, depths = sizes_of(base)
  wide = nearest_width(base, 1.9 * width)
  assert wide % 8 == 0
  assert width < wide <= 3.8 * width
  changed = with_depth(with_width(base, wide), 2 * sum(depths))
  assert sizes_of(changed) == (wide, tuple(2 * depth for depth in depths))
  assert with_width(base, width).build() == base.build()


def test_heads_keep_their_width():
  assert with_width(design("deit_micro"), 96).fields == "base_dim=96, num_heads=6"
  swin = with_width(design("swin_micro"), 48)
  assert swin.build().num_heads == (3, 6, 12, 24)
  with pytest.raises(InputError, match=r"whole heads of 16 channels, .* at 48: got 2\.5 of them"):
    with_width(design("deit_micro"), 40)
  assert nearest_width(design("deit_micro"), 42) == 48


def test_orders_have_branches_of_whole_channels():
  """A gnConv of order 5 halves its width four times."""
  assert nearest_width(design("hornet_micro_7x7:orders=(5, 5, 5, 5)"), 22) == 16
  with pytest.raises(InputError, match=r"a multiple of 16 for order 5, got 24"):
    with_width(design("hornet_micro_7x7:orders=(5, 5, 5, 5)"), 24)
  with pytest.raises(InputError, match=r"from 1\.5 to 6, got none: no multiple of 8 lies there"):
    nearest_width(design("hornet_micro_7x7"), 3)


def test_depths_keep_their_ratio():
  depths = {
    blocks: sizes_of(with_depth(design("hornet_tiny_7x7", 32), blocks))[1] for blocks in (4, 13, 25)
  }
  assert depths == {4: (1, 1, 1, 1), 13: (1, 2, 9, 1), 25: (2, 3, 18, 2)}
  with pytest.raises(InputError, match="expected at least 4 for hornet_tiny_7x7, got 3"):
    with_depth(design("hornet_tiny_7x7"), 3)


def test_image_sizes_leave_no_margin():
  base = design("hornet_micro_gf")
  assert with_image_size(base, 48).image_size == 48
  assert with_image_size(base, 48).costs()["params"] == base.costs()["params"]
  with pytest.raises(InputError, match=r"a multiple of 16, .*: got 40, .* Hint: 32 or 48\."):
    with_image_size(base, 40)
