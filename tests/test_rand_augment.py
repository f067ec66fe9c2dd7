"""RandAugment against timm's pixels."""

import numpy as np
import pytest
from golden_data import Golden
from PIL import Image

from hornet_jax.data.views import rand_augment
from hornet_jax.data.views.rand_augment import OPS, RandAugment, apply
from hornet_jax.errors import InputError

OFFICIAL = "rand-m9-mstd0.5-inc1"


def test_every_operation_gives_the_official_pixels():
  golden = Golden("recipe_randaugment_ops")
  image = Image.fromarray(golden.arrays.pop("image_u8"))
  assert {name.removesuffix("_neg") for name in golden.arrays} == set(OPS)
  assert {n.removesuffix("_neg") for n in golden.arrays if n.endswith("_neg")} == {
    name for name, op in OPS.items() if op.has_sign
  }
  for name, expected in golden.arrays.items():
    op = name.removesuffix("_neg")
    result = apply(image, op, float(golden.info["magnitude"]), negate=name.endswith("_neg"))
    np.testing.assert_array_equal(np.asarray(result), expected, err_msg=name)


def test_operations_and_magnitudes_are_drawn_as_the_recipe_says(monkeypatch):
  applied = []

  def record(image, op, magnitude, *, negate):
    applied.append((op, magnitude, negate))
    return image

  monkeypatch.setattr(rand_augment, "apply", record)
  augment, rng = RandAugment.from_spec(OFFICIAL), np.random.default_rng(0)
  for _ in range(3000):
    augment(Image.new("RGB", (2, 2)), rng)
  ops, magnitudes, negated = zip(*applied, strict=True)
  assert len(ops) / 6000 == pytest.approx(0.5, abs=0.02)
  assert np.mean(negated) == pytest.approx(0.5, abs=0.03)
  share = [ops.count(name) / len(ops) for name in OPS]
  np.testing.assert_allclose(share, 1 / 15, atol=0.015)
  assert np.mean(magnitudes) == pytest.approx(9, abs=0.05)
  assert np.std(magnitudes) == pytest.approx(0.5, abs=0.05)
  assert max(magnitudes) <= 10


def test_a_magnitude_above_ten_is_ten(monkeypatch):
  magnitudes = set()
  monkeypatch.setattr(
    rand_augment, "apply", lambda image, op, magnitude, negate: magnitudes.add(magnitude) or image
  )
  augment, rng = RandAugment.from_spec("rand-m15-mstd0.5-inc1"), np.random.default_rng(0)
  for _ in range(50):
    augment(Image.new("RGB", (2, 2)), rng)
  assert magnitudes == {10.0}
  black = apply(Image.new("RGB", (2, 2), (255, 9, 8)), "PosterizeIncreasing", 10.0, negate=False)
  assert black.getextrema() == ((0, 0),) * 3


def test_the_notation_is_timms():
  assert RandAugment.from_spec(OFFICIAL) == RandAugment(9.0, 0.5)
  assert RandAugment.from_spec("rand-n3-inc1-mstdinf") == RandAugment(10.0, np.inf, 3)
  wrong = ["", "augmix-m3", "rand-m9-mstd0.5", "rand-m9-inc0", "rand-m9-m8-inc1", "rand-m9-w0-inc1"]
  for spec in [*wrong, "rand-minf-inc1", "rand-n0-inc1", "rand-m9-inc1-"]:
    with pytest.raises(InputError, match="timm's notation"):
      RandAugment.from_spec(spec)


def test_an_infinite_deviation_draws_uniformly():
  augment, rng = RandAugment.from_spec("rand-m8-mstdinf-inc1"), np.random.default_rng(0)
  drawn = [augment._magnitude(rng) for _ in range(2000)]
  assert np.mean(drawn) == pytest.approx(4, abs=0.15)
  assert 7.8 < max(drawn) <= 8
