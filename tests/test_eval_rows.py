"""Batches of evaluation are as large as is asked for, unless they would fill the memory."""

import jax
import numpy as np

from hornet_jax.data.schema import Field, image_field, row_bytes
from hornet_jax.data.views.windows import Windows, scalings
from hornet_jax.parallel.mesh import make_mesh
from hornet_jax.train.eval_rows import eval_rows


def test_rows_are_as_many_as_fit():
  mesh = make_mesh(jax.devices()[:4])
  small = {"image": image_field(224)}
  assert row_bytes(small | {"index": Field((), np.int32)}) == 224 * 224 * 3 + 4
  assert eval_rows(64, 1000, small, mesh) == 64
  assert eval_rows(66, 1000, small, mesh) == 68
  assert eval_rows(64, 9, small, mesh) == 12
  ratios = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
  one, many = (
    Windows(512, 341, scalings((2048, 512), *how), (0, 0, 0)).fields
    for how in (((1.0,),), (ratios, True))
  )
  assert row_bytes(many) > 2**26  # 64 of these would be more than 4 GiB
  assert eval_rows(64, 2000, one, mesh) == 64
  assert eval_rows(64, 2000, many, mesh) == 4 * (2**28 // row_bytes(many)) < 64
  assert eval_rows(64, 2000, {"huge": Field((2**29,), np.uint8)}, mesh) == 4
