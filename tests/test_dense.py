"""Parts for dense prediction equal the official ones: outputs and stored gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from golden_data import Golden, assert_close, names

from hornet_jax import HorNet, create_model
from hornet_jax.convert.mmseg import head_variables, variables_from_mmseg
from hornet_jax.cost.count import count_params
from hornet_jax.cost.model_work import forward_work
from hornet_jax.dense import FcnHead, GnConvNorm, LevelNorms, SegmentationHead, UperHead
from hornet_jax.dense.channel_dropout import channel_dropout
from hornet_jax.errors import InputError
from hornet_jax.models.headed import attach_head


class Levels(LevelNorms):
  """The norms of all levels, as a head."""

  def __call__(self, out, train, keys):
    return super().__call__([out[f"stage_{s}"] for s in range(4)])


def inputs_of(golden):
  many = sorted(golden.group("input"))
  return [jnp.asarray(golden.nhwc(f"input{name}")) for name in many]


def flat_gradients(gradients):
  return traverse_util.flatten_dict(gradients, sep=".")


def check(golden, apply, variables, inputs, renamed, prefix=""):
  """Compares outputs, the loss, and every gradient that is stored."""

  def loss_of(params, inputs):
    outputs = apply({**variables, "params": params}, inputs)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    return sum(jnp.mean(output**2) for output in outputs), outputs

  differentiate = jax.jit(jax.value_and_grad(loss_of, (0, 1), has_aux=True))
  (loss, outputs), (of_params, of_inputs) = differentiate(variables["params"], inputs)
  stored = sorted(name for name in golden.group("output") if "f64" not in name)
  assert len(stored) == len(outputs)
  for name, output in zip(stored, outputs, strict=True):
    assert_close(output, golden.nhwc(f"output{name}"), what=f"output{name}")
  np.testing.assert_allclose(loss, golden.info["loss_value_f64"], rtol=1e-5)
  for name, gradient in zip(sorted(golden.group("grad/input")), of_inputs, strict=True):
    assert_close(gradient, golden.nhwc(f"grad/input{name}"), what=f"gradient of input{name}")
  expected = renamed({prefix + k: v for k, v in golden.group("grad/param/").items()})["params"]
  found = flat_gradients(of_params)
  stored_gradients = flat_gradients(expected)
  assert len(stored_gradients) > 5
  for path, gradient in stored_gradients.items():
    assert_close(found[path], gradient, what=f"gradient of {path}")


@pytest.mark.parametrize("name", names("dense_backbone"))
def test_backbones_with_a_norm_for_each_level(name):
  golden = Golden(name)
  config = golden.config
  backbone = HorNet(
    config["base_dim"],
    config["depths"],
    num_classes=0,
    orders=config["orders"],
    filters=[tuple(size) if size[0] else "7x7" for size in map(pair, config["gf_filter_hw"])],
    scale=config["scale"],
  )
  model = attach_head(backbone, Levels())

  def renamed(arrays):
    found = variables_from_mmseg(arrays)
    head = found["params"].pop("head", {}).get("norms", {})
    return {"params": {**found["params"], "head": head}}

  prefixed = {f"backbone.{k}": v for k, v in golden.group("param/").items()}
  check(
    golden,
    lambda variables, inputs: model.apply(variables, inputs[0])[0],
    renamed(prefixed),
    inputs_of(golden),
    renamed,
    prefix="backbone.",
  )


def pair(size):
  return size if size else (None, None)


def spectral(config):
  """The published default where the config names a height alone: h x (h / 2 + 1)."""
  if "kernel_size" in config:
    return f"{config['kernel_size']}x{config['kernel_size']}"
  return (config["h"], config["h"] // 2 + 1)


@pytest.mark.parametrize("name", names("unit_gnconvmodule_seg"))
def test_a_gnconv_with_a_norm(name):
  golden = Golden(name)
  config = golden.config
  module = GnConvNorm(config["out_channels"], config["order"], spectral(config))

  def renamed(arrays):
    found = head_variables(arrays)
    return {kind: tree["fusion"] for kind, tree in found.items()}

  prefixed = {f"fpn_bottleneck.{k}": v for k, v in golden.group("param/").items()}
  check(
    golden,
    lambda variables, inputs: module.apply(variables, inputs[0], False),
    renamed(prefixed),
    inputs_of(golden),
    renamed,
    prefix="fpn_bottleneck.",
  )


@pytest.mark.parametrize("name", names("seg_gn_uper_head"))
def test_the_head_of_uper_net(name):
  golden = Golden(name)
  config = golden.config
  fusion = functools.partial(
    GnConvNorm, order=config["conv_cfg"]["order"], filter=spectral(config["conv_cfg"])
  )
  head = UperHead(config["num_classes"], config["channels"], config["pool_scales"], fusion)
  check(
    golden, head.apply, head_variables(golden.group("param/")), inputs_of(golden), head_variables
  )


def uper_net(variant, fusion=None, **fields):
  """As the official configs for ADE20K have it."""
  backbone = create_model(variant, num_classes=0, **fields)
  levels = [feature.name for feature in backbone.features()]
  head = SegmentationHead(levels, UperHead(150, fusion=fusion), FcnHead(150))
  return attach_head(backbone, head)


# Millions of parameters as published, arXiv 2207.14284 table 2.
PUBLISHED = {
  "tiny_7x7": 52,
  "tiny_gf": 55,
  "small_7x7": 81,
  "small_gf": 85,
  "base_7x7": 121,
  "base_gf": 126,
  "large_7x7": 232,
  "large_gf": 239,
}


@pytest.mark.parametrize(("name", "millions"), PUBLISHED.items())
def test_parameters_of_uper_net(name, millions):
  filters = {"filters": ("7x7", "7x7", (24, 13), (12, 7))} if name.endswith("gf") else {}
  model = uper_net(f"hornet_{name}", **filters)
  images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  variables = jax.eval_shape(model.init, jax.random.key(0), images)
  assert round(count_params(variables["params"]) / 1e6) == millions


@pytest.mark.slow
@pytest.mark.parametrize(
  ("size", "image_size", "billions"),
  [
    ("tiny", (512, 2048), 926),
    ("small", (512, 2048), 1030),
    ("base", (512, 2048), 1174),
    ("large", (640, 2560), 2473),
  ],
)
def test_products_of_uper_net(size, image_size, billions):
  work = forward_work(uper_net(f"hornet_{size}_7x7"), image_size)
  assert work.macs / 1e9 == pytest.approx(billions, rel=0.01)


def test_what_a_gnconv_saves_in_the_fusion():
  fusion = functools.partial(GnConvNorm, filter="7x7")
  with_conv, with_gnconv = (
    forward_work(uper_net("hornet_tiny_7x7", made), (512, 2048)).macs for made in (None, fusion)
  )
  assert (with_conv - with_gnconv) / 1e9 == pytest.approx(452.8, abs=0.05)


def test_channels_are_dropped_by_the_key_of_their_example():
  """The draw of an example is the same in any batch; without keys training is refused."""
  x = jax.random.uniform(jax.random.key(0), (4, 2, 3, 50), minval=1.0)
  keys = jax.random.split(jax.random.key(1), 4)
  dropped = channel_dropout(x, 0.25, keys)
  factors = np.asarray(dropped / x)
  np.testing.assert_allclose(np.unique(factors.round(5)), [0, 1.33333])
  assert (factors == factors[:, :1, :1]).all()  # whole channels
  assert 0.15 < (factors == 0).mean() < 0.35
  np.testing.assert_array_equal(channel_dropout(x[2:3], 0.25, keys[2:3])[0], dropped[2])
  assert (channel_dropout(x, 0.25, keys, salt=1) != dropped).any()
  with pytest.raises(InputError, match="`keys` must be given to train with dropout"):
    channel_dropout(x, 0.25, None)


def test_checkpoints_of_the_official_layout():
  """Names of both heads and of the norms are known; what is not theirs is listed, all of it."""
  ones = np.ones
  state_dict = {
    "backbone.norm2.weight": ones(8),
    "decode_head.fpn_convs.0.conv.weight": ones((4, 8, 3, 3)),
    "decode_head.fpn_convs.0.bn.running_var": ones(4),
    "decode_head.fpn_convs.0.bn.num_batches_tracked": np.int64(3),
    "decode_head.conv_seg.weight": ones((5, 4, 1, 1)),
    "auxiliary_head.convs.0.conv.weight": ones((6, 8, 3, 3)),
    "auxiliary_head.conv_seg.bias": ones(5),
  }
  found = variables_from_mmseg(state_dict)
  head = found["params"]["head"]
  assert head["norms"]["norm_2"]["scale"].shape == (8,)
  assert head["decode"]["fpn_0"]["conv"]["kernel"].shape == (3, 3, 8, 4)
  assert head["decode"]["classify"]["conv_seg"]["kernel"].shape == (4, 5)
  assert head["auxiliary"]["conv_0"]["conv"]["kernel"].shape == (3, 3, 8, 6)
  assert found["batch_stats"]["head"]["decode"]["fpn_0"]["bn"]["var"].shape == (4,)
  odd = {
    "decode_head.fpn_convs.0.conv.bias": ones((2, 2)),
    "decode_head.nonsense.weight": ones((1, 1, 1, 1)),
    "neck.weight": ones(3),
  }
  with pytest.raises(InputError, match="3 unknown: ") as refused:
    variables_from_mmseg(state_dict | odd)
  for name in odd:
    assert name in str(refused.value)
  with pytest.raises(InputError, match=r"1 unknown: whatever\.bias \(2,\)"):
    head_variables({"whatever.bias": ones(2)})
