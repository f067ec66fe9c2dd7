"""Which arrays are cut, and over which devices."""

import jax
import jax.numpy as jnp
import pytest
from flax import traverse_util
from jax.sharding import PartitionSpec

from hornet_jax import create_model
from hornet_jax.config.build import on_mesh
from hornet_jax.errors import InputError
from hornet_jax.parallel.mesh import make_mesh
from hornet_jax.parallel.sharding import FSDP, partition_spec, placements, with_shardings

LARGE = create_model("hornet_large_gf", depthwise="grouped", global_filter="fft")


@pytest.mark.parametrize(
  ("path", "shape", "fsdp", "expected"),
  [
    ("stage_0/block_0/mlp/fc1/kernel", (192, 768), 8, (FSDP, None)),
    ("stage_3/block_1/gnconv/pws_2/kernel", (384, 768), 8, (FSDP, None)),
    ("downsample_1/conv/kernel", (2, 2, 192, 384), 8, (None, None, FSDP, None)),
    ("head/kernel", (1536, 1000), 8, (FSDP, None)),
    ("stage_0/block_0/mlp/fc1/kernel", (192, 768), 1, ()),
    ("stage_0/block_0/mlp/fc1/kernel", (192, 768), 5, ()),  # does not divide
    ("stage_0/block_0/gnconv/pws_0/kernel", (96, 192), 8, ()),  # small
    ("stage_0/block_0/mlp/fc1/bias", (786_432,), 8, ()),
    ("stage_3/block_0/gnconv/dwconv/kernel", (7, 7, 1, 2976), 8, ()),
    ("stage_2/block_0/gnconv/dwconv/filter_re", (14, 8, 720), 8, ()),
    ("stem/conv/kernel", (4, 4, 64, 192 * 1024), 8, ()),
  ],
)
def test_what_is_cut(path, shape, fsdp, expected):
  assert partition_spec(LARGE.param_info(path), shape, fsdp) == PartitionSpec(*expected)


def test_moments_of_stacked_blocks_lie_as_their_parameters():
  """A part of a state whose path ends in that of a parameter lies as it does; the rest is whole."""
  arrays = {"mlp/fc1/kernel": (18, 192, 768), "gnconv/pws_0/kernel": (18, 96, 192)}  # small
  params = {f"stage_2/blocks/{path}": jnp.zeros(shape) for path, shape in arrays.items()}
  params = traverse_util.unflatten_dict(params, sep="/")
  state = {"params": params, "opt_state": ({"mu": params}, jnp.zeros(())), "step": jnp.zeros(())}
  placed = with_shardings(state, LARGE.param_info, params, make_mesh(fsdp=8))
  for of_blocks in (placed["params"], placed["opt_state"][0]["mu"]):
    block = of_blocks["stage_2"]["blocks"]
    assert block["mlp"]["fc1"]["kernel"].sharding.spec == PartitionSpec(None, FSDP, None)
    assert block["gnconv"]["pws_0"]["kernel"].sharding.spec == PartitionSpec()
  assert placed["opt_state"][1].sharding.spec == placed["step"].sharding.spec == PartitionSpec()


def test_an_eighth_of_the_large_model_a_device():
  images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
  params = jax.eval_shape(LARGE.init, jax.random.key(0), images)["params"]
  rows = placements(LARGE.param_info, params, 8)
  everything = 4 * 196_289_512
  assert sum(row.bytes_a_device for row in placements(LARGE.param_info, params, 1)) == everything
  whole = [row for row in rows if FSDP not in row.spec]
  cut = sum(row.bytes_a_device for row in rows) - sum(row.bytes_a_device for row in whole)
  assert 8 * cut + sum(row.bytes_a_device for row in whole) == everything
  assert cut * 8 > 0.95 * everything


def test_meshes():
  mesh = make_mesh(fsdp=2)
  assert dict(mesh.shape) == {"data": 4, "fsdp": 2}
  with pytest.raises(InputError, match=r"divisor of 8 \(8 devices\), got 3"):
    make_mesh(fsdp=3)
  with pytest.raises(InputError, match=r"must come with `model.scan`.* 2 parts"):
    on_mesh(create_model("hornet_nano_7x7"), mesh)
