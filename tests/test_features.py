"""Models without their head: feature maps, a new head, names of other libraries."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from hornet_jax.errors import InputError
from hornet_jax.models import (
  ALIASES,
  VARIANTS,
  FeatureMaps,
  HorNet,
  create_model,
  get_variant,
  list_models,
  reset_classifier,
)

TINY = {"orders": (1, 2), "base_dim": 4, "num_classes": 5}
IMAGES = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)


def tiny(**overrides) -> HorNet:
  return create_model("hornet_nano_gf", **{**TINY, **overrides})


def tiny_features(**overrides) -> FeatureMaps:
  return create_model("hornet_nano_gf", features_only=True, **{**TINY, **overrides})


def shapes(module, images=IMAGES):
  params = jax.eval_shape(module.init, jax.random.key(0), images)["params"]
  return {path: p.shape for path, p in traverse_util.flatten_dict(params, sep="/").items()}


@pytest.fixture(scope="module")
def images():
  return jnp.asarray(np.random.default_rng(0).standard_normal(IMAGES.shape, np.float32))


@pytest.fixture(scope="module")
def params(images):
  return jax.jit(tiny(layer_scale_init=0.5).init)(jax.random.key(0), images)["params"]


def test_features_are_those_of_the_classifier(params, images):
  model = tiny(drop_path_rate=0.5)
  features = tiny_features(drop_path_rate=0.5, out_indices=(-1, 0))
  first = tiny_features(drop_path_rate=0.5, out_indices=(0,))
  trunk = {name: tree for name, tree in params.items() if name not in ("norm", "head")}
  keys = jax.random.split(jax.random.key(3), 2)

  @jax.jit
  def run(params, trunk, images, keys):
    _, out = model.apply({"params": params}, images, True, keys)
    return (
      [out["stage_1"], out["stage_0"]],
      features.apply({"params": params}, images, True, keys),
      features.apply({"params": trunk}, images, train=True, keys=keys),
      first.apply({"params": params}, images, train=True, keys=keys),
      features.apply({"params": params}, images),
    )

  expected, whole, part, only, kept = run(params, trunk, images, keys)
  for maps in (whole, part):
    jax.tree.map(np.testing.assert_array_equal, maps, expected)
  np.testing.assert_array_equal(only[0], expected[1])
  assert not np.array_equal(kept[0], expected[0])


STAGED = [name for name in list_models() if isinstance(create_model(name), HorNet)]


@pytest.mark.parametrize("name", STAGED)
def test_channels_strides_and_parameters(name):
  size = VARIANTS[name].image_size
  depths = (1,) * len(create_model(name).depths)
  # Only shapes are asked for: the forms of the operations that trace fastest.
  fields = {"depths": depths, "depthwise": "grouped", "global_filter": "fft"}
  features = create_model(name, features_only=True, **fields)
  images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
  maps, _ = jax.eval_shape(features.init_with_output, jax.random.key(0), images)
  assert [m.shape for m in maps] == [
    (1, size // stride, size // stride, channels)
    for stride, channels in zip(features.strides, features.channels, strict=True)
  ]
  expected = shapes(create_model(name, **fields), images)
  assert shapes(features, images) == {
    path: shape for path, shape in expected.items() if path.split("/")[0] not in ("norm", "head")
  }


def test_later_stages_have_no_parameters():
  assert {path.split("/")[0] for path in shapes(tiny_features(out_indices=[0]))} == {
    "stem",
    "stage_0",
  }
  features = create_model("hornet_tiny_7x7", features_only=True, out_indices=(3, -3))
  assert (features.channels, features.strides) == ([512, 128], [32, 8])


def test_features_inside_a_module():
  """As a compact child and in `setup`, the parameters stay under the child's name."""

  class Compact(nn.Module):
    @nn.compact
    def __call__(self, x):
      return FeatureMaps(tiny(), (1,), name="backbone")(x)[0]

  class Setup(nn.Module):
    def setup(self):
      self.backbone = tiny_features(out_indices=(1,))

    def __call__(self, x):
      return self.backbone(x)[0]

  inside = {f"backbone/{path}" for path in shapes(tiny_features())}
  for module in (Compact(), Setup()):
    assert set(shapes(module)) == inside


@pytest.mark.parametrize("out_indices", [(2,), (-3,), (0, 0), (1, -1), ()])
def test_bad_out_indices(out_indices):
  with pytest.raises(ValueError, match=r"`out_indices` must name different.*some of \[0, 1\].*got"):
    tiny_features(out_indices=out_indices)


@pytest.mark.parametrize("out_indices", [1, ("stage_0",), (1.0,)])
def test_out_indices_of_wrong_types(out_indices, untyped):
  with pytest.raises(InputError, match="must be numbers of stages: expected such as"):
    tiny_features(out_indices=out_indices)


def test_out_indices_need_features_only():
  with pytest.raises(ValueError, match=r"expected features_only=True, got \(0,\) without"):
    tiny(out_indices=(0,))


def test_reset_classifier():
  model, key = tiny(base_dim=32, head_init_scale=0.5), jax.random.key(1)
  wide = traverse_util.unflatten_dict(
    {path: np.zeros(shape, np.float32) for path, shape in shapes(model).items()}, sep="/"
  )
  new_model, new_params = reset_classifier(model, wide, 50, key)
  assert new_model == model.clone(num_classes=50)
  assert set(new_params) == set(wide)
  for name in wide.keys() - {"head"}:
    for new, old in zip(*map(jax.tree.leaves, (new_params[name], wide[name])), strict=True):
      assert new is old
  head = new_params["head"]
  assert head["kernel"].shape == (64, 50)
  np.testing.assert_allclose(np.std(head["kernel"]), 0.01, rtol=0.1)
  np.testing.assert_array_equal(head["bias"], np.zeros(50))
  assert wide["head"]["kernel"].shape == (64, 5)

  headless, trunk = reset_classifier(new_model, new_params, 0, key)
  assert headless.num_classes == 0
  assert set(trunk) == set(wide) - {"head"}
  again = reset_classifier(headless, trunk, 50, key)[1]["head"]
  jax.tree.map(np.testing.assert_array_equal, again, head)


def test_a_reset_model_runs(params, images):
  model, new_params = reset_classifier(tiny(), params, 7, jax.random.key(0))
  assert jax.eval_shape(model.apply, {"params": new_params}, images)[0].shape == (2, 7)
  flat = traverse_util.flatten_dict(new_params, sep="/")
  assert shapes(model) == {path: p.shape for path, p in flat.items()}


def test_reset_classifier_errors(params, untyped):
  key = jax.random.key(0)
  with pytest.raises(InputError, match=r"those of the model: .* is missing and \d+ more\. Hint"):
    reset_classifier(tiny(), {"params": params}, 5, key)
  with pytest.raises(InputError, match=r"has width 8 instead of 16 and \d+ more"):
    reset_classifier(tiny(base_dim=8), params, 5, key)
  for num_classes in (-2, 2.5):
    with pytest.raises(InputError, match=f"`num_classes` must be a whole.*got {num_classes}"):
      reset_classifier(tiny(), params, num_classes, key)
  with pytest.raises(InputError, match="got FeatureMaps, which has no head"):
    reset_classifier(tiny_features(), params, 5, key)


@pytest.mark.parametrize("alias", [a for a, name in ALIASES.items() if "hornet" in name])
def test_aliases(alias):
  assert create_model(alias, num_classes=3) == create_model(ALIASES[alias], num_classes=3)
  # The name itself says which model it is.
  variant = get_variant(alias)
  size = next(s for s in ("tiny", "small", "base", "large") if s in alias)
  assert variant.fields["base_dim"] == {"tiny": 64, "small": 96, "base": 128, "large": 192}[size]
  assert ("7x7" in variant.fields["filters"][2:]) == ("gf" not in alias)
  assert variant.image_size == (384 if "384" in alias else 224)
  assert alias not in list_models()


def test_unknown_names_suggest_aliases():
  with pytest.raises(
    ValueError, match=r"unknown variant 'hornet-tinny'.*did you mean 'hornet-tiny"
  ):
    create_model("hornet-tinny")
