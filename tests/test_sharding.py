"""Which arrays are cut, and over which devices."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec

from hornet_jax import create_model
from hornet_jax.errors import InputError
from hornet_jax.train.mesh import make_mesh
from hornet_jax.train.model import on_mesh
from hornet_jax.train.sharding import FSDP, partition_spec, placements


@pytest.mark.parametrize(
  ("path", "shape", "fsdp", "expected"),
  [
    ("stage_0/block_0/mlp/fc1/kernel", (192, 768), 8, PartitionSpec(FSDP, None)),
    ("opt_state/1/0/mu/stage_3/block_1/gnconv/pws_2/kernel", (384, 768), 8, (FSDP, None)),
    ("downsample_1/conv/kernel", (2, 2, 192, 384), 8, (None, None, FSDP, None)),
    ("head/kernel", (1536, 1000), 8, (FSDP, None)),
    ("stage_0/blocks/mlp/fc1/kernel", (18, 192, 768), 8, (None, FSDP, None)),
    ("opt_state/1/0/nu/stage_0/blocks/gnconv/pws_0/kernel", (18, 96, 192), 8, ()),  # small
    ("stage_0/block_0/mlp/fc1/kernel", (192, 768), 1, ()),
    ("stage_0/block_0/mlp/fc1/kernel", (192, 768), 5, ()),  # does not divide
    ("stage_0/block_0/gnconv/pws_0/kernel", (96, 192), 8, ()),  # small
    ("stage_0/block_0/mlp/fc1/bias", (786_432,), 8, ()),
    ("stage_3/block_0/gnconv/dwconv/kernel", (7, 7, 1, 2976), 8, ()),
    ("stage_2/block_0/gnconv/dwconv/filter_re", (14, 8, 720), 8, ()),
    ("stem/conv/kernel", (4, 4, 3, 192 * 1024), 8, ()),
  ],
)
def test_what_is_cut(path, shape, fsdp, expected):
  assert partition_spec(path, shape, fsdp) == PartitionSpec(*expected)


def test_an_eighth_of_the_large_model_a_device():
  model = create_model("hornet_large_gf")
  images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
  params = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
  rows = placements(params, 8)
  assert sum(row.bytes_a_device for row in placements(params, 1)) == 4 * 196_289_512
  whole = [row for row in rows if FSDP not in row.spec]
  cut = sum(row.bytes_a_device for row in rows) - sum(row.bytes_a_device for row in whole)
  everything = 4 * 196_289_512
  assert 8 * cut + sum(row.bytes_a_device for row in whole) == everything
  assert cut * 8 > 0.95 * everything


def test_meshes():
  mesh = make_mesh(fsdp=2)
  assert dict(mesh.shape) == {"data": 4, "fsdp": 2}
  with pytest.raises(InputError, match=r"divisor of 8 \(8 devices\), got 3"):
    make_mesh(fsdp=3)
  with pytest.raises(InputError, match=r"must come with `model.scan`.* 2 parts"):
    on_mesh(create_model("hornet_nano_7x7"), mesh)
