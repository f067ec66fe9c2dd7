"""Counts equal the official counter's, and the compiler's."""

import json

import jax
import jax.numpy as jnp
import pytest
from golden_data import GOLDEN

from hornet_jax import create_model, list_models
from hornet_jax.cost import count_params, peak_training_rate, stage_costs
from hornet_jax.models import VARIANTS

TABLE = json.loads((GOLDEN / "model_table.json").read_text())
del TABLE["_notes"]
# Small variants of ours, which no paper counts: fixed so that a change is noticed.
OURS = {
  "hornet_nano_7x7": 23_776,
  "hornet_nano_gf": 23_734,
  "hornet_micro_7x7": 507_576,
  "hornet_micro_gf": 491_196,
}


def totals(model, image_size):
  rows = stage_costs(model, image_size)
  return sum(row.params for row in rows), sum(row.macs for row in rows)


def test_every_variant_has_a_count():
  assert {n for n in VARIANTS if VARIANTS[n].origin == "paper"} == set(TABLE)
  assert {n for n in VARIANTS if VARIANTS[n].origin == "ours"} == set(OURS)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_paper_variants(name):
  for size, flops in TABLE[name]["flops"].items():
    params, macs = totals(create_model(name), int(size))
    assert params == TABLE[name]["params"]
    assert macs == flops["conv_plus_linear_macs"]
  model = create_model(name, num_classes=21841)
  assert totals(model, VARIANTS[name].image_size)[0] == TABLE[name]["params_21841_classes"]


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_variants(name):
  assert totals(create_model(name), VARIANTS[name].image_size)[0] == OURS[name]


def test_spectral_cost_is_counted_apart():
  # 2 transforms of C' H W ceil(log2 H W), 18 blocks at 14x14 (C' = 240) and 2 at 7x7 (496).
  expected = 18 * 2 * 240 * 196 * 8 + 2 * 2 * 496 * 49 * 6
  rows = stage_costs(create_model("hornet_tiny_gf"), 224)
  assert sum(row.spectral_macs for row in rows) == expected
  assert all(row.spectral_macs == 0 for row in stage_costs(create_model("hornet_tiny_7x7"), 224))


def test_against_the_initialised_model_and_the_compiler():
  model = create_model("hornet_tiny_7x7")
  images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
  params = jax.eval_shape(model.init, jax.random.key(0), images)
  assert count_params(params) == totals(model, 224)[0]
  flops = jax.jit(model.apply).lower(params, images).cost_analysis()["flops"]
  # The compiler also counts element-wise work: norms, gates, GELU, residuals.
  assert 1.009 <= flops / (2 * totals(model, 224)[1]) <= 1.012


def test_rate_at_the_peak():
  model = create_model("hornet_tiny_7x7")
  # 3.968 GMACs an image, times 6: 23.81 GFLOPs; a v5e chip does 197 TFLOP/s.
  rate = peak_training_rate(model, 224, "TPU v5 lite", 256)
  assert rate == pytest.approx(256 * 197e12 / (6 * 3_968_389_312))
  assert peak_training_rate(model, 224, "TPU v5 lite", 1) * 256 == pytest.approx(rate)
  assert peak_training_rate(model, 224, "cpu", 1) is None
  assert peak_training_rate(model, 224, "a kind of tomorrow", 1) is None


def test_list_models():
  assert len(list_models("*_gf*")) == 8
  assert list_models("hornet_tiny*") == ["hornet_tiny_7x7", "hornet_tiny_gf"]
