"""Layers and their learning rates are the official ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from golden_data import Golden, official_key

from hornet_jax import create_model
from hornet_jax.dense import attach_detector
from hornet_jax.errors import InputError
from hornet_jax.models.layers import drop_path_rates
from hornet_jax.models.param_info import ParamInfo, Role, map_params
from hornet_jax.models.stacking import stack_blocks, unstack_blocks
from hornet_jax.train.layer_decay import check_layers, layer_ids, scale_by_layer, scale_by_stage


@pytest.fixture(scope="module")
def golden():
  return Golden("recipe_layer_ids_and_droppath").info


def model_of(name):
  return create_model(name, depthwise="grouped", global_filter="fft")


def abstract_params(model):
  images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  return jax.eval_shape(model.init, jax.random.key(0), images)["params"]


TINY = model_of("hornet_tiny_gf")


def test_every_parameter_has_the_official_layer(golden):
  expected = golden["layer_id_by_prefix"]
  seen = set()
  for path, layer in traverse_util.flatten_dict(
    layer_ids(TINY.param_info, abstract_params(TINY))
  ).items():
    key = official_key(path)
    prefix = key if key in expected else ".".join(key.split(".")[:3])
    prefix = prefix if prefix in expected else ".".join(key.split(".")[:2])
    assert layer == expected[prefix], key
    seen.add(prefix)
  assert seen == expected.keys()


@pytest.mark.parametrize(
  ("num_layers", "expected"),
  [  # the official multipliers at a decay of 0.9
    (12, {"stem": 0.254, "downsample_2": 0.254, "stage_0": 0.282, "stage_3": 0.387, "head": 1.0}),
    (6, {"stem": 0.478, "downsample_1": 0.478, "stage_0": 0.531, "stage_3": 0.729, "norm": 1.0}),
  ],
)
def test_scales_of_stages(num_layers, expected):
  updates = {
    name: {"block_0": {"bias": jnp.ones(2)}} if name.startswith("stage") else {"bias": jnp.ones(2)}
    for name in expected
  }
  tx = scale_by_stage(TINY.param_info, 0.9, num_layers)
  scaled, _ = tx.update(updates, tx.init(updates), updates)
  for name, factor in expected.items():
    for leaf in jax.tree.leaves(scaled[name]):
      np.testing.assert_allclose(leaf, factor, atol=5e-4)


def test_stages_of_other_architectures():
  deit = create_model("deit_micro")
  images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  params = jax.eval_shape(deit.init, jax.random.key(0), images)["params"]
  stages = traverse_util.flatten_dict(
    map_params(lambda info, _: {"stage": info.stage}, deit.param_info, params), sep="/"
  )
  found = {path.split("/")[0]: stage for path, stage in stages.items()}
  assert found == {"stem": 0, "tokens": 0, "stage_0": 1, "norm": None, "head": None}
  check_layers(deit.param_info, params, "stage")
  with pytest.raises(InputError, match=r"whose parameters have stages, got one without"):
    check_layers(lambda path: ParamInfo(Role.MATRIX), params, "stage")


def test_scales(golden):
  updates = {
    name: {"bias": jnp.ones(2)}
    for name in ("stem", "downsample_1", "downsample_2", "downsample_3", "head")
  }
  updates["stage_2"] = {f"block_{i}": {"bias": jnp.ones(2)} for i in range(18)}
  tx = scale_by_layer(TINY.param_info, 0.7)
  scaled, _ = tx.update(updates, tx.init(updates), updates)
  stacked, _ = tx.update(stack_blocks(updates), tx.init(updates), updates)
  jax.tree.map(np.testing.assert_array_equal, unstack_blocks(stacked), scaled)
  ids = layer_ids(TINY.param_info, updates)
  for layer, leaf in zip(jax.tree.leaves(ids), jax.tree.leaves(scaled), strict=True):
    np.testing.assert_allclose(leaf, golden["lr_scale_for_layer_decay_0_7"][layer], rtol=1e-6)


@pytest.mark.parametrize(
  ("decay", "assumed_layers", "expected"),
  [  # the official multipliers of Cascade Mask R-CNN, and of Mask R-CNN with HorFPN
    (
      *(0.7, 0),
      {"stem": 0.0097, "stage_0": 0.0138, "downsample_3": 0.7, "stage_3": 0.7, "head": 1.0},
    ),
    (
      *(0.95, 6),
      {"stem": 0.698, "stage_0": 0.735, "downsample_3": 1.292, "stage_3": 1.292, "head": 1.0},
    ),
  ],
)
def test_scales_of_detection(decay, assumed_layers, expected):
  """Norms of the levels, neck and heads are behind all layers, in both."""
  model = attach_detector(
    create_model("hornet_tiny_7x7", num_classes=0, base_dim=16, scan=False),
    3,
    kind="mask_rcnn",
    channels=8,
    hidden=8,
  )
  images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  params = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
  tx = scale_by_layer(model.param_info, decay, assumed_layers)
  ones = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), params)
  scaled, _ = tx.update(ones, tx.init(ones), ones)
  found = {**scaled["backbone"], "head": scaled["head"]}
  for name, factor in expected.items():
    leaves = jax.tree.leaves(found[name])
    assert leaves
    for leaf in leaves:
      np.testing.assert_allclose(leaf, factor, rtol=5e-3)
  assert set(scaled["head"]) > {"norms", "neck", "rpn"}
  third = [float(found["stage_2"][f"block_{j}"]["norm1"]["bias"][0]) for j in range(18)]
  layers = [min(3 + j // 2, 11) for j in range(18)]
  behind = assumed_layers + 1 if assumed_layers else 13
  np.testing.assert_allclose(third, [decay ** (behind - layer) for layer in layers], rtol=1e-6)
  check_layers(model.param_info, params, "layer")


def test_drop_path_rates_are_the_official_ones(golden):
  rates = drop_path_rates(0.2, (2, 3, 18, 2))
  np.testing.assert_allclose(rates, golden["drop_path_rate_0_2_per_block"], atol=2e-8)


def test_other_numbers_of_stages_are_refused():
  nano = model_of("hornet_nano_7x7")
  with pytest.raises(InputError, match="as those of four stages do, got one without"):
    layer_ids(nano.param_info, abstract_params(nano))
