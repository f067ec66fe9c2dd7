"""Counts equal the official counter's, the compiler's, and what can be said by hand."""

import dataclasses
import functools
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from golden_data import GOLDEN
from jax import lax
from jax.sharding import PartitionSpec
from model_counts import OURS, PUBLISHED

from hornet_jax import Execution, create_model, list_models
from hornet_jax.cost import (
  StageCost,
  Work,
  count,
  count_params,
  forward_work,
  peak_training_rate,
  stage_costs,
  total,
  training_work,
)
from hornet_jax.errors import InputError
from hornet_jax.models import VARIANTS
from hornet_jax.parallel.mesh import make_mesh

TABLE = json.loads((GOLDEN / "model_table.json").read_text())
del TABLE["_notes"]


def array(*shape):
  return jax.ShapeDtypeStruct(shape, jnp.float32)


def work_of(function, *args):
  return total(count(function, *args).values())


def totals(model, image_size):
  rows = stage_costs(model, image_size)
  return sum(row.params for row in rows), sum(row.macs for row in rows)


def test_every_variant_has_a_count():
  assert {n for n in VARIANTS if VARIANTS[n].origin == "paper"} == {*TABLE, *PUBLISHED}
  assert {n for n in VARIANTS if VARIANTS[n].origin == "ours"} == set(OURS)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TABLE))
def test_paper_variants(name):
  for size, flops in TABLE[name]["flops"].items():
    rows = stage_costs(create_model(name), int(size))
    params = sum(row.params for row in rows)
    assert params == TABLE[name]["params"]
    assert sum(row.macs for row in rows) == flops["conv_plus_linear_macs"]
  short = create_model(name, num_classes=21841, depths=(1, 1, 1, 1))
  more = stage_costs(short, 32)[-1].params - rows[-1].params
  assert params + more == TABLE[name]["params_21841_classes"]


@pytest.mark.parametrize("name", sorted(PUBLISHED | OURS))
def test_other_variants(name):
  expected = (PUBLISHED | OURS)[name]
  assert totals(create_model(name), VARIANTS[name].image_size) == expected


def test_parts_of_a_model():
  rows = stage_costs(create_model("hornet_nano_gf", num_classes=10), 32)
  names = ["stem", "stage_0", "downsample_1", "stage_1", "head"]
  shapes = [(16, 16, 8), (16, 16, 8), (8, 8, 16), (8, 8, 16), (10,)]
  assert [(row.name, row.shape) for row in rows] == list(zip(names, shapes, strict=True))
  assert rows[-1] == StageCost("head", (10,), 2 * 16 + 16 * 10 + 10, 16 * 10, 0)
  assert rows[0].macs == 16 * 16 * 8 * 3 * 2 * 2
  headless = stage_costs(create_model("hornet_nano_gf", num_classes=0), 32)
  assert headless == [*rows[:-1], StageCost("norm", (16,), 2 * 16, 0, 0)]


def test_spectral_cost_is_counted_apart():
  # 2 transforms of C' H W ceil(log2 H W), 18 blocks at 14x14 (C' = 240) and 2 at 7x7 (496).
  expected = 18 * 2 * 240 * 196 * 8 + 2 * 2 * 496 * 49 * 6
  rows = stage_costs(create_model("hornet_tiny_gf"), 224)
  assert sum(row.spectral_macs for row in rows) == expected
  assert all(row.spectral_macs == 0 for row in stage_costs(create_model("hornet_tiny_7x7"), 224))


def test_fourier_products():
  """Per filter 2 products over W, 4 over H and back; a filter that is resized costs some more."""
  model = create_model("hornet_nano_gf", orders=(1, 1), filters=((16, 9), (8, 5)))
  expected = [
    half * (4 * h * w * columns + 8 * h * h * columns)
    for h, w, columns, half in [(16, 16, 9, 4), (8, 8, 5, 8)]
  ]
  assert forward_work(model, 32).fourier_macs == sum(expected)
  resized = forward_work(model.clone(filters=((16, 9), (9, 5))), 32)
  assert sum(expected) < resized.fourier_macs < 1.1 * sum(expected)
  assert resized.macs == forward_work(model, 32).macs


def test_how_a_model_is_executed_does_not_count():
  model = create_model("hornet_nano_gf", num_classes=10)
  as_they_stand = {"depths": [1, 1], "filters": ["7x7", [8, 5]]}  # lists, as configs have them
  others = [
    model.clone(execution=Execution(depthwise="shift", fourier="fft"), **as_they_stand),
    model.clone(
      execution=Execution(fourier="dft_bf16", scan=True, fsdp=True, batch_axes=("data",))
    ),
    model.clone(execution=Execution(jnp.bfloat16, gradient_sum="float32", remat="full")),
  ]
  params = jax.eval_shape(model.init, jax.random.key(0), array(1, 32, 32, 3))
  grouped = model.clone(execution=Execution(depthwise="grouped"))
  expected = work_of(grouped.apply, params, array(1, 32, 32, 3))
  assert [forward_work(other, 32) for other in others] == [expected] * 3
  recompute_nothing = [
    other.clone(execution=dataclasses.replace(other.execution, remat="none")) for other in others
  ]
  plain = [training_work(other, 32) for other in recompute_nothing]
  assert plain == [training_work(model, 32)] * 3


@pytest.mark.parametrize("remat", ["dense", "full"])
def test_a_loop_over_equal_blocks_recomputes_what_they_do_apart(remat):
  model = create_model("hornet_nano_gf", depths=(2, 1), depthwise="grouped", remat=remat)
  images = array(1, 32, 32, 3)
  params = jax.eval_shape(model.init, jax.random.key(0), images)
  apart = work_of(
    jax.value_and_grad(lambda params, images: jnp.sum(model.apply(params, images)[0])),
    params,
    images,
  )
  looped = training_work(model, 32)
  assert (apart.matmul_macs, apart.depthwise_macs) == (looped.matmul_macs, looped.depthwise_macs)
  assert (apart.fourier_macs, apart.spectral_macs) == (looped.fourier_macs, looped.spectral_macs)


# Of one image at 224, by the formulas that were used before products were counted: a backward pass
# as twice the forward one, of the Fourier transforms as once, and what is recomputed once more.
# But for one: the formulas had "dots" keep the Fourier products, which no policy sees, as they lie
# inside of functions with gradients of their own.
MATMUL = {"none": 11_475_984_384, "dense": 11_475_984_384, "dots": 11_475_984_384}
MATMUL["full"] = 15_301_312_512
DEPTHWISE = {"none": 190_130_976} | dict.fromkeys(["dense", "dots", "full"], 253_507_968)
FOURIER = {"none": 167_236_608} | dict.fromkeys(["dense", "dots", "full"], 250_854_912)
ELEMENTS = dict.fromkeys(["none", "dense", "dots"], 95_357_640) | {"full": 133_500_696}


@pytest.mark.parametrize("remat", MATMUL)
def test_training(remat):
  model = create_model("hornet_tiny_gf", remat=remat)
  work = training_work(model, 224)
  macs = {row.name: row.macs for row in stage_costs(model, 224)}
  # The image has no gradient, and what is outside of blocks is not recomputed.
  outside = sum(macs[name] for name in macs if not name.startswith("stage"))
  expected = MATMUL[remat] - macs["stem"] - outside * (remat == "full")
  assert work.matmul_macs == expected
  assert work.depthwise_macs == DEPTHWISE[remat]
  assert work.fourier_macs == FOURIER[remat]
  assert work.elements == pytest.approx(ELEMENTS[remat], rel=6e-3 if remat == "full" else 3e-5)


def test_loops_branches_and_what_is_not_needed():
  a = array(4, 8), array(8, 8)
  once = Work(matmul_macs=4 * 8 * 8, elements=4 * 8)

  def loop(x, w, n):
    return lax.fori_loop(0, n, lambda _, x: x @ w, x)

  def branches(x, w):
    return lax.cond(x[0, 0] > 0, lambda: x @ w @ w, lambda: x @ w)

  def unneeded(x, w):
    _ = x @ w @ w
    return x @ w

  assert work_of(lambda x, w: lax.scan(lambda x, _: (x @ w, None), x, length=7)[0], *a) == (
    once.times(7)
  )
  assert work_of(jax.jit(functools.partial(loop, n=5)), *a) == once.times(5)
  assert work_of(branches, *a) == once.times(2)
  assert work_of(unneeded, *a) == once
  assert work_of(jax.vmap(jnp.matmul, (0, None)), array(3, 4, 8), a[1]) == once.times(3)
  with pytest.raises(InputError, match=r"loops of known length.*while loop"):
    count(loop, *a, jax.ShapeDtypeStruct((), jnp.int32))


def test_both_directions_and_recomputing():
  a = array(4, 8), array(8, 16), array(16, 1)

  def network(x, first, second):
    return jnp.sum(jnp.tanh(x @ first) @ second)

  first, second = 4 * 8 * 16, 4 * 16
  gradient = jax.value_and_grad(network, (1, 2))
  assert work_of(gradient, *a).macs == 2 * first + 3 * second
  again = jax.value_and_grad(jax.checkpoint(network), (1, 2))
  assert work_of(again, *a).macs == 3 * first + 3 * second
  scopes = count(again, *a)
  assert sum(work.macs for path, work in scopes.items() if "rematted_computation" in path) == first


def test_every_device_of_a_shard_map_counts():
  mesh = make_mesh(jax.devices()[:2], 1)
  rows = PartitionSpec("data")
  part = jax.shard_map(jnp.matmul, mesh=mesh, in_specs=(rows, PartitionSpec()), out_specs=rows)
  assert work_of(part, array(6, 8), array(8, 8)) == work_of(jnp.matmul, array(6, 8), array(8, 8))


@pytest.mark.parametrize(
  ("groups", "kernel", "kind"),
  [(1, (3, 3, 8, 16), "matmul_macs"), (4, (3, 3, 2, 16), "matmul_macs")]
  + [(8, (3, 3, 1, channels), "depthwise_macs") for channels in (8, 16)],
)
@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_and_their_gradients(groups, kernel, kind, stride):
  def convolve(x, w):
    strides, numbers = (stride, stride), ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
      x, w, strides, "SAME", dimension_numbers=numbers, feature_group_count=groups
    )

  side = 12 // stride
  macs = 2 * side * side * kernel[-1] * 9 * kernel[2]
  x, w = array(2, 12, 12, 8), array(*kernel)
  forward = work_of(convolve, x, w)
  assert forward == Work(**{kind: macs}, elements=2 * side * side * kernel[-1])
  for argument in (0, 1):
    gradient = work_of(jax.grad(lambda x, w: jnp.sum(convolve(x, w)), argument), x, w)
    assert (gradient.macs, getattr(gradient, kind)) == (macs, macs)


class Mixture(nn.Module):
  """An architecture that nothing was written for."""

  @nn.compact
  def __call__(self, images, train=False, keys=None):
    x = nn.Conv(8, (4, 4), (4, 4), name="patches")(images)
    x = nn.BatchNorm(use_running_average=not train, name="norm")(x)
    x = x.reshape(len(x), -1, 8) + self.param("positions", nn.initializers.zeros, (1, 64, 8))
    for i in range(2):
      x += nn.MultiHeadDotProductAttention(2, name=f"attention_{i}")(x)
    x = jnp.real(jnp.fft.fft(x, axis=1))
    return nn.Dense(10, name="head")(x.mean(1)), {"tokens": x}


def test_an_architecture_that_nothing_was_written_for():
  rows = stage_costs(Mixture(), 32)
  attention = 4 * 64 * 8 * 8 + 2 * 64 * 64 * 8
  params = 4 * (8 * 8 + 8)
  assert rows == [
    StageCost("patches", (8, 8, 8), 8 * 49, 64 * 8 * 48, 0),
    StageCost("attention_0", (64, 8), 16 + params, attention, 0),
    StageCost("attention_1", (64, 8), params, attention, 0),
    StageCost("head", (10,), 90, 80, 0),
    StageCost("Mixture", (), 64 * 8, 0, 64 * 8 * 6),
  ]
  work = training_work(Mixture(), 32)
  assert work.macs == 3 * forward_work(Mixture(), 32).macs - 64 * 8 * 48


def test_against_the_initialised_model_and_the_compiler():
  model = create_model("hornet_tiny_7x7")
  images = array(1, 224, 224, 3)
  params = jax.eval_shape(model.init, jax.random.key(0), images)
  assert count_params(params) == totals(model, 224)[0]
  flops = jax.jit(model.apply).lower(params, images).cost_analysis()["flops"]
  # The compiler also counts element-wise work: norms, gates, GELU, residuals.
  assert 1.009 <= flops / (2 * totals(model, 224)[1]) <= 1.012


def test_training_against_the_compiler():
  model = create_model("hornet_micro_gf", depthwise="grouped")
  images = array(1, 32, 32, 3)
  params = jax.eval_shape(model.init, jax.random.key(0), images)
  gradient = jax.grad(lambda params, images: jnp.sum(model.apply(params, images)[0]))
  flops = jax.jit(gradient).lower(params, images).cost_analysis()["flops"]
  work = training_work(model, 32)
  assert 1.02 <= flops / (2 * (work.macs + work.fourier_macs)) <= 1.09


def test_rate_at_the_peak():
  macs = forward_work(create_model("hornet_tiny_7x7"), 224).macs
  # 3.968 GMACs an image, times 6: 23.81 GFLOPs; a v5e chip does 197 TFLOP/s.
  rate = peak_training_rate(macs, "TPU v5 lite", 256)
  assert rate == pytest.approx(256 * 197e12 / (6 * 3_968_389_312))
  assert peak_training_rate(macs, "TPU v5 lite", 1) * 256 == pytest.approx(rate)


def test_list_models():
  assert len(list_models("hornet_*_gf*")) == 10
  assert list_models("hornet_tiny*") == ["hornet_tiny_7x7", "hornet_tiny_gf"]
