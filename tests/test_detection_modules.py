"""The neck and heads for detection: reference arrays, and what a model of them holds and costs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from golden_data import Golden, assert_close, names

from hornet_jax import create_model
from hornet_jax.convert.official import params_from_official
from hornet_jax.cost.count import count, count_params, total
from hornet_jax.dense import Fpn, attach_detector
from hornet_jax.errors import InputError
from hornet_jax.models.gnconv import GnConv
from hornet_jax.ops.resample import resize_nearest


def compare(golden, module, renamed):
  """Compares outputs, the loss and every stored gradient with those of the official code."""
  stored_inputs = sorted(golden.group("input"))
  inputs = [jnp.asarray(golden.nhwc(f"input{name}")) for name in stored_inputs]

  def loss_of(params, inputs):
    outputs = module.apply({"params": params}, inputs if len(inputs) > 1 else inputs[0])
    outputs = outputs if isinstance(outputs, list) else [outputs]
    return sum(jnp.mean(output**2) for output in outputs), outputs

  params = renamed(golden.group("param/"))
  (loss, outputs), (of_params, of_inputs) = jax.jit(
    jax.value_and_grad(loss_of, (0, 1), has_aux=True)
  )(params, inputs)
  np.testing.assert_allclose(loss, golden.info["loss_value_f64"], rtol=1e-5)
  stored = sorted(name for name in golden.group("output") if "f64" not in name)
  for name, output in zip(stored, outputs, strict=True):
    assert_close(output, golden.nhwc(f"output{name}"), what=f"output{name}")
  for name, gradient in zip(stored_inputs, of_inputs, strict=True):
    assert_close(gradient, golden.nhwc(f"grad/input{name}"), what=f"gradient of input{name}")
  found = traverse_util.flatten_dict(of_params, sep=".")
  expected = traverse_util.flatten_dict(renamed(golden.group("grad/param/")), sep=".")
  assert len(expected) > 5
  for path, gradient in expected.items():
    assert_close(found[path], gradient, what=f"gradient of {path}")


def neck_params(state_dict):
  """Official names of the neck -> ours."""
  params = {}
  for name, value in state_dict.items():
    part, number, *rest = name.split(".")
    if part == "lateral_convs":
      leaf = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
      of_layer = params.setdefault(f"lateral_{number}", {})
      of_layer["bias" if rest[-1] == "bias" else "kernel"] = leaf
    else:
      of_module = params.setdefault(f"smooth_{number}", {})
      of_module[".".join(rest)] = value
  official = {k: params_from_official(v) for k, v in params.items() if k.startswith("smooth")}
  return params | official


@pytest.mark.parametrize("name", names("neck_horfpn"))
def test_the_neck_of_gnconvs(name):
  golden = Golden(name)
  config = golden.config["gn_conv_cfg"]
  spatial = (config["h"], config["w"]) if "h" in config else "7x7"
  smooth = functools.partial(GnConv, order=config["order"], filter=spatial)
  module = Fpn(golden.config["out_channels"], golden.config["num_outs"], smooth)
  compare(golden, module, neck_params)


def test_the_gnconv_of_the_neck():
  golden = Golden("unit_gnconvmodule_det_7x7")
  config = golden.config
  module = GnConv(config["out_channels"], config["order"], "7x7")
  compare(golden, module, params_from_official)


def test_what_is_nearest_is_what_pytorch_takes():
  """The positions of 3 that become 5; and a whole factor."""
  x = jnp.arange(3.0).reshape(1, 3, 1, 1)
  assert resize_nearest(x, (5, 1)).ravel().tolist() == [0, 0, 1, 1, 2]
  assert resize_nearest(x, (6, 2))[0, :, 1].ravel().tolist() == [0, 0, 1, 1, 2, 2]
  with pytest.raises(InputError, match="1 to 1 levels"):
    Fpn(4, 1).init(jax.random.key(0), [jnp.zeros((1, 2, 2, 1))] * 2)


def test_what_the_gnconvs_of_a_neck_save():
  """At 1280x800, as published: 29.0 G."""
  maps = [jax.ShapeDtypeStruct((1, 200 >> i, 320 >> i, 64 << i), jnp.float32) for i in range(4)]

  def macs(smooth):
    module = Fpn(smooth=smooth)
    variables = jax.eval_shape(lambda maps: module.init(jax.random.key(0), maps), maps)
    return total(count(module.apply, variables, maps).values()).macs

  saved = macs(None) - macs(functools.partial(GnConv, order=2, filter="7x7"))
  assert saved / 1e9 == pytest.approx(29.0, abs=0.05)


IMAGES = jax.ShapeDtypeStruct((1, 800, 1280, 3), jnp.float32)

# Millions of parameters, and billions of multiply-accumulates at 1280x800, as published for
# Cascade Mask R-CNN, arXiv 2207.14284 table 2.
PUBLISHED = {
  "tiny_7x7": (80, 730),
  "tiny_gf": (80, 728),
  "small_7x7": (107, 830),
  "small_gf": (108, 827),
  "base_7x7": (144, 969),
  "base_gf": (146, 965),
  "large_7x7": (251, 1363),
  "large_gf": (259, 1358),
}


@functools.cache
def cascade(name):
  """As the official configs for COCO have it: the largest with filters for 384 pixels."""
  filters = {"filters": ("7x7", "7x7", (24, 13), (12, 7))} if name == "large_gf" else {}
  model = attach_detector(create_model(f"hornet_{name}", num_classes=0, scan=True, **filters), 80)
  return model, jax.eval_shape(lambda x: model.init(jax.random.key(0), x), IMAGES)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "published"), PUBLISHED.items())
def test_parameters_and_products_of_cascade_mask_rcnn(name, published):
  """Of one image: backbone, neck, the proposals' head, three box heads on 1,000 regions each, and
  three mask heads on 100; without proposals, sampling of regions and suppression.

  So did the published counter, whose numbers have activations and norms as well.
  """
  model, variables = cascade(name)
  millions, billions = published
  assert round(count_params(variables["params"]) / 1e6) == millions
  works = count(model.apply, variables, IMAGES)
  counted = total(work for scopes, work in works.items() if "roi_align" not in scopes)
  assert counted.macs / 1e9 == pytest.approx(billions, rel=0.01)
