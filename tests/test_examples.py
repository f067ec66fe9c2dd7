"""Examples that run: a gnConv in one's own module, a HorNet in loops of one's own."""

import pathlib
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from hornet_jax import create_model
from hornet_jax.cost import count_params, stage_costs
from hornet_jax.models import GnConv

DOCS = pathlib.Path(__file__).parents[1] / "docs"


def python_of(page):
  """The blocks of Python of a page of the docs."""
  return re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)


def test_gnconv_in_your_own_module():
  class ResidualBlock(nn.Module):
    """x + gnConv(x), 12 channels with 8 inside the recursion."""

    @nn.compact
    def __call__(self, x):
      return x + GnConv(dim=8, order=3, filter="5x5", out_dim=x.shape[-1], scale=1 / 3)(x)

  block = ResidualBlock()
  x = jax.random.normal(jax.random.key(0), (2, 6, 6, 12))
  params = jax.jit(block.init)(jax.random.key(1), x)["params"]
  tx = optax.sgd(1.0)

  def loss(params):
    return jnp.mean((block.apply({"params": params}, x) - 2 * x) ** 2)

  @jax.jit
  def step(params, state):
    value, grads = jax.value_and_grad(loss)(params)
    updates, state = tx.update(grads, state, params)
    return optax.apply_updates(params, updates), state, value

  params, state, before = step(params, tx.init(params))
  _, _, after = step(params, state)
  assert after < before


def test_hornet_in_an_nnx_program():
  hornet = create_model("hornet_nano_7x7", num_classes=10)
  images = jax.random.normal(jax.random.key(0), (2, 32, 32, 3))

  @nnx.jit
  def create(images):
    return nnx.bridge.ToNNX(hornet, rngs=nnx.Rngs(0)).lazy_init(images)

  model = create(images)
  logits, _ = nnx.jit(lambda model, images: model(images))(model, images)

  params = nnx.to_pure_dict(nnx.state(model, nnx.Param))
  expected, _ = jax.jit(hornet.apply)({"params": params}, images)
  np.testing.assert_array_equal(logits, expected)
  shapes = jax.eval_shape(hornet.init, jax.random.key(0), images)["params"]
  assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, shapes)
  assert count_params(params) == sum(part.params for part in stage_costs(hornet, 32))


@pytest.mark.slow
def test_loops_of_docs_own_loop_run_as_they_stand(tmp_path, monkeypatch):
  """Three loops from the same parameters, over the same batches, what they saved, and curvature."""
  monkeypatch.chdir(tmp_path)
  blocks = python_of("own_loop.md")
  assert len(blocks) == 8
  scope = {}
  for block in blocks:
    exec(block, scope)

  @jax.jit
  def loss(params):
    logits, _ = scope["model"].apply({"params": params}, scope["images"])
    return scope["cross_entropy"](logits, scope["labels"]).mean()

  assert scope["state"].step == 3
  nnx_params = nnx.to_pure_dict(nnx.state(scope["network"], nnx.Param))
  for params in (scope["trained"], scope["state"].params):
    assert loss(params) < loss(scope["params"])
  assert loss(nnx_params) < loss(nnx.to_pure_dict(nnx.state(scope["wrapped"](scope["images"]))))
  trained = jax.device_get(scope["trained"])
  jax.tree.map(np.testing.assert_array_equal, scope["restored"], trained)
  jax.tree.map(np.testing.assert_array_equal, scope["loaded_params"], trained)
  near = jax.tree.map(lambda p, d: p + 1e-5 * d, scope["loaded_params"], scope["direction"])
  batch = scope["direction"], scope["images"], scope["labels"]
  changed, _ = scope["hessian_vector_product"](near, *batch)
  change = optax.tree.norm(optax.tree.sub(changed, scope["gradient"])) / 1e-5
  np.testing.assert_allclose(optax.tree.norm(scope["product"]), change, rtol=0.05)
  images = scope["preprocessing"]([np.zeros((40, 30, 3), np.uint8)])
  assert images.shape == (1, 32, 32, 3)
  assert scope["loaded_model"].num_classes == 10


@pytest.mark.slow
def test_python_of_docs_detection_runs_as_it_stands():
  """A config of one's own, what a detector finds and learns, and RoIAlign alone."""
  config, *blocks = python_of("detection.md")
  scope = {}
  exec(config, scope)
  own = scope["get_config"]()
  assert (own.task, own.data.dataset, own.model.variant) == (
    "detection",
    "my_things",
    "hornet_tiny_7x7",
  )
  assert len(blocks) == 4
  for block in blocks:
    exec(block, scope)
  found = scope["found"]
  assert found["boxes"].shape == (2, 100, 4)
  assert found["masks"].shape == (2, 100, 28, 28)
  # Boxes lie within the image, not only within its canvas.
  assert found["boxes"][1].reshape(-1, 2).max(axis=0).tolist() <= [80, 48]
  assert set(scope["losses"]) == {
    *("rpn_class", "rpn_box", "stage_0_class", "stage_0_box", "stage_0_mask")
  }
  assert all(jnp.all(loss > 0) for loss in scope["losses"].values())
  assert jax.tree.structure(scope["grads"]) == jax.tree.structure(scope["params"])
  assert optax.tree.norm(scope["grads"]["backbone"]) > 0
  assert callable(scope["objects_of"])
