"""Outputs and gradients equal the official implementation's."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from golden_data import Golden, assert_close, names, official_key

from hornet_jax import HorNet, create_model
from hornet_jax.convert import params_from_official
from hornet_jax.models import Execution
from hornet_jax.models.block import Block
from hornet_jax.models.execution import REMAT
from hornet_jax.models.global_filter import GlobalLocalFilter
from hornet_jax.models.gnconv import GnConv
from hornet_jax.models.stage import Stage

IMPLEMENTATIONS = ["dft", "fft"]


def spatial_filter(size):
  return "7x7" if size is None else tuple(size)


def mixer(config):
  """The slot of a block of the reference."""
  return functools.partial(
    GnConv,
    order=config["order"],
    filter=spatial_filter(config["gf_filter_hw"]),
    scale=config["scale"],
    name="gnconv",
  )


def modules_of(golden, implementation):
  """The Flax module of a reference case."""
  config, execution = golden.config, Execution(fourier=implementation)
  match config["kind"]:
    case "gnconv":
      return GnConv(
        config["dim"],
        config["order"],
        spatial_filter(config["gf_filter_hw"]),
        config["scale"],
        execution=execution,
      )
    case "global_local_filter":
      return GlobalLocalFilter(tuple(config["gf_filter_hw"]), execution=execution)
    case "block":
      return Block(mixer(config), execution=execution)
    case "classifier":
      return HorNet(
        num_classes=config["num_classes"],
        base_dim=config["base_dim"],
        depths=config["depths"],
        orders=config["orders"],
        filters=[spatial_filter(size) for size in config["gf_filter_hw"]],
        scale=config["scale"],
        layer_scale_init=1e-6 if config["layer_scale"] else None,
        execution=execution,
      )


def by_official_array(tree):
  """Flat, with both parts of a complex filter joined: the official code has one array."""
  flat = traverse_util.flatten_dict(tree, sep=".")
  return {
    path: np.stack([leaf, flat[path[:-2] + "im"]]) if path.endswith("filter_re") else leaf
    for path, leaf in flat.items()
    if not path.endswith("filter_im")
  }


# Whole models once by FFT, the rest of them with what takes minutes.
CASES = [
  pytest.param(
    name,
    implementation,
    marks=[pytest.mark.slow] if implementation == "fft" and "interp" in name else [],
  )
  for name in names("cls_") + [name for name in names("unit_") if "module" not in name]
  for implementation in IMPLEMENTATIONS
  if implementation == "dft" or "gf" in name or "glf" in name
]


@pytest.mark.parametrize(("name", "implementation"), CASES)
def test_outputs_and_gradients(name, implementation):
  golden = Golden(name)
  module = modules_of(golden, implementation)
  params = params_from_official(golden.group("param/"))
  x = jnp.asarray(golden.nhwc("input"))

  @jax.jit
  def run(params, x):
    def loss(params, x):
      result = module.apply({"params": params}, x)
      output, out = result if isinstance(result, tuple) else (result, {})
      return jnp.mean(output**2), (output, out)

    return jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(params, x)

  with jax.numpy_dtype_promotion("strict"):
    (loss, (output, out)), (param_grads, x_grad) = run(params, x)

  assert_close(output, golden.nhwc("output"), what="output")
  np.testing.assert_allclose(loss, golden.info["loss_value_f64"], rtol=1e-5)
  ours = {"stem": "stem", "prelogits": "pre_logits"} | {f"stage{s}": f"stage_{s}" for s in range(4)}
  compared = 0
  for official in golden.group("inter/"):
    if ours.get(official) in out:
      assert_close(out[ours[official]], golden.nhwc(f"inter/{official}"), what=official)
      compared += 1
  assert compared == (6 if golden.config["kind"] == "classifier" else 0)

  assert_close(x_grad, golden.nhwc("grad/input"), what="gradient of the input")
  stored = by_official_array(params_from_official(golden.group("grad/param/")))
  computed = by_official_array(param_grads)
  assert stored
  for path, expected in stored.items():
    assert_close(computed[path], expected, what=f"gradient of {path}")
  norms = golden.info["grad_l2_norms"]
  total = np.sqrt(sum(norm**2 for norm in norms.values() if norm is not None))
  squares = sum(np.sum(np.square(g, dtype=np.float64)) for g in computed.values())
  np.testing.assert_allclose(np.sqrt(squares), total, rtol=2e-5)


# Filter, Fourier transform, depthwise convolution, type, scan, remat.
PATHS = [
  ("gf", "dft", "shift", "float32", True, "none"),
  ("gf", "fft", "grouped", "float32", False, "full"),
  ("gf", "dft_bf16", "shift", "bfloat16", True, "dense"),
  ("gf", "dft", "grouped", "bfloat16", False, "dots"),
  ("gf", "fft", "shift", "bfloat16", False, "none"),
  ("gf", "dft_bf16", "grouped", "float32", True, "dots"),
  ("gf", "dft", "grouped", "float32", False, "dense"),
  ("gf", "fft", "shift", "float32", True, "dots"),
  ("gf", "dft_bf16", "shift", "bfloat16", False, "full"),
  ("gf", "dft", "grouped", "bfloat16", True, "full"),
  ("gf", "fft", "grouped", "bfloat16", True, "dense"),
  ("gf", "dft_bf16", "grouped", "float32", False, "none"),
  ("7x7", "dft", "shift", "float32", True, "full"),
  ("7x7", "dft", "grouped", "bfloat16", False, "none"),
  ("7x7", "dft", "shift", "bfloat16", True, "dots"),
  ("7x7", "dft", "grouped", "float32", False, "dense"),
]
LEVELS = [
  ("gf", "7x7"),
  ("dft", "fft", "dft_bf16"),
  ("shift", "grouped"),
  ("float32", "bfloat16"),
  (True, False),
  REMAT,
]


def test_every_two_settings_meet():
  for (i, first), (j, second) in itertools.combinations(enumerate(LEVELS), 2):
    for pair in itertools.product(first, second):
      if pair[0] == "7x7" and j == 1 and pair[1] != "dft":
        continue  # has no transforms
      assert any((path[i], path[j]) == pair for path in PATHS), pair


@pytest.mark.parametrize("path", PATHS, ids=lambda path: "-".join(map(str, path)))
def test_every_path_gives_the_reference(path):
  spatial, transform, depthwise, dtype, scan, remat = path
  golden = Golden({"gf": "unit_block_gf_o4", "7x7": "unit_block_7x7_o3"}[spatial])
  execution = Execution(jnp.dtype(dtype), depthwise, transform, remat=remat, scan=scan)
  stage = Stage(1, functools.partial(Block, mixer(golden.config)), execution)
  params = {"block_0": params_from_official(golden.group("param/"))}

  @jax.jit
  def run(params, x):
    def loss(params):
      (output,) = stage.apply({"params": params}, x)
      return jnp.mean(output.astype(jnp.float32) ** 2), output

    return jax.value_and_grad(loss, has_aux=True)(params)

  x = jnp.asarray(golden.nhwc("input"), dtype)
  (_, output), gradients = run(params, x)
  rounded = dtype == "bfloat16" or transform == "dft_bf16"
  tolerance = 0.06 if rounded else 1e-5
  assert_close(output.astype(jnp.float32), golden.nhwc("output"), tolerance, "output")
  computed = by_official_array(gradients["block_0"])
  stored = by_official_array(params_from_official(golden.group("grad/param/")))
  assert stored
  for name, expected in stored.items():
    assert_close(computed[name], expected, tolerance, f"gradient of {name}")


def weights_of_recipe(info, shapes):
  """Official weights and the input, redrawn from the seed as the case's json tells."""
  rng = np.random.default_rng(info["seed"])
  weights = {}
  for key in sorted(shapes):
    shape = shapes[key]
    z = rng.standard_normal(shape)
    last = key.rpartition(".")[2]
    if last in ("gamma1", "gamma2"):
      value = 0.5 + 0.15 * z
    elif last == "complex_weight":
      value = 0.5 * z
    elif len(shape) == 1:
      value = 1 + 0.2 * z if last == "weight" else 0.15 * z
    else:
      value = z / np.sqrt(np.prod(shape[1:]))
    weights[key] = value.astype(np.float32)
  images = rng.standard_normal(info["input_shape"]).astype(np.float32)
  return weights, images


def official_shapes(model):
  """Official key -> shape for a model of ours, by naming and transposing back."""
  abstract = jax.eval_shape(
    model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
  )
  shapes = {}
  for path, leaf in traverse_util.flatten_dict(abstract["params"]).items():
    key, shape = official_key(path), leaf.shape
    if key.endswith("complex_weight"):
      shape = (shape[2], shape[0], shape[1], 2)
    elif len(shape) == 4:
      shape = (shape[3], shape[2], shape[0], shape[1])
    elif len(shape) == 2:
      is_convolution = "proj_" in key or "pws." in key
      shape = (*shape[::-1], 1, 1) if is_convolution else shape[::-1]
    shapes[key] = shape
  return shapes


@pytest.mark.slow
@pytest.mark.parametrize("name", names("full_"))
def test_full_size_models(name):
  golden = Golden(name)
  model = create_model(golden.info["model"])
  weights, images = weights_of_recipe(golden.info, official_shapes(model))
  assert len(weights) == golden.info["n_tensors"]
  total = sum(np.sum(w, dtype=np.float64) for w in weights.values())
  np.testing.assert_allclose(total, golden.info["sum_of_all_weights"], rtol=1e-9)

  params = params_from_official(weights)
  logits, out = jax.jit(model.apply)({"params": params}, images.transpose(0, 2, 3, 1))
  assert_close(logits, golden.arrays["logits"], what="logits")
  assert_close(out["pre_logits"], golden.arrays["prelogits"], what="pre_logits")
  for s in range(4):
    stage = np.asarray(out[f"stage_{s}"], np.float64)
    mean = stage.mean((1, 2))
    rms = np.sqrt((stage**2).mean((1, 2)))
    assert_close(rms, golden.arrays[f"stage{s}_rms_per_channel"], what=f"rms of stage {s}")
    assert_close(mean, golden.arrays[f"stage{s}_mean_per_channel"], what=f"mean of stage {s}")


def test_unknown_keys_are_listed():
  weights = {
    "gnconv.proj_in.weight": np.zeros((4, 2, 1, 1)),
    "optimizer.lr": np.zeros(()),
    "stem.conv.weight": np.zeros((4, 3, 4, 4)),  # ours, not the official name
    "head.weight": np.zeros((4, 3, 2)),
  }
  listed = r"3 unknown: optimizer\.lr \(\), stem\.conv\.weight .*, head\.weight \(4, 3, 2\)"
  with pytest.raises(ValueError, match=listed):
    params_from_official(weights)
