"""Parts for dense prediction equal the official ones: outputs and stored gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from golden_data import Golden, assert_close, names

from hornet_jax import HorNet
from hornet_jax.convert.mmseg import head_variables, variables_from_mmseg
from hornet_jax.dense import GnConvNorm, LevelNorms, UperHead
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
