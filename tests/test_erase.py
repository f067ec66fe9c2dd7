"""Random erasing draws the official rectangles."""

import jax
import jax.numpy as jnp
import numpy as np

from hornet_jax.data.views.erase import random_erase

COUNT, HEIGHT, WIDTH = 3000, 40, 30


def test_rectangles_of_noise():
  keys = jax.random.split(jax.random.key(0), COUNT)
  images = jnp.full((COUNT, HEIGHT, WIDTH, 1), 100.0)
  erased = np.asarray(jax.jit(lambda k, i: random_erase(k, i, 0.25))(keys, images))[..., 0]
  changed = erased != 100
  hit = changed.any((1, 2))
  assert abs(hit.mean() - 0.25) < 0.03
  heights, widths = changed.any(2).sum(1)[hit], changed.any(1).sum(1)[hit]
  area, aspect = heights * widths / (HEIGHT * WIDTH), heights / widths
  np.testing.assert_array_equal(changed.sum((1, 2))[hit], heights * widths)  # rectangles
  assert 0.015 < area.min() < 0.05
  assert 0.3 < area.max() < 0.36
  assert 0.25 < aspect.min() < 0.36
  assert 2.8 < aspect.max() < 4
  assert abs(np.log(aspect).mean()) < 0.1
  noise = erased[changed]
  assert abs(noise.mean()) < 0.02
  assert abs(noise.std() - 1) < 0.02
  # Every place is reached, the middle most often.
  assert (changed.mean(0) > 0).all()


def test_a_row_draws_the_same_in_any_batch():
  keys = jax.random.split(jax.random.key(1), 8)
  images = jax.random.normal(jax.random.key(2), (8, 12, 12, 3))
  whole = random_erase(keys, images, 0.9)
  np.testing.assert_array_equal(random_erase(keys[4:], images[4:], 0.9), whole[4:])
  assert float(jnp.mean(whole != images)) > 0.05
  assert random_erase(keys, images, 0.0) is images
