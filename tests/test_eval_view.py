"""What evaluation sees equals the official transforms."""

import jax.numpy as jnp
import numpy as np
import pytest
from golden_data import Golden
from PIL import Image

from hornet_jax.data.pixels.decode import to_pixels
from hornet_jax.data.pixels.normalize import IMAGENET_MEAN, IMAGENET_STD, normalize
from hornet_jax.data.views.eval_view import EvalView
from hornet_jax.errors import InputError


@pytest.mark.parametrize("imaging", ["turbo", "pillow"])
def test_official_views(imaging):
  golden = Golden("recipe_eval_transform")
  pixels = to_pixels(Image.fromarray(golden.arrays["image_u8"]))
  size = golden.info["size"]
  cropped = EvalView(size, 224 / 256, imaging=imaging)(pixels)
  np.testing.assert_array_equal(cropped, golden.arrays["out_u8"])
  warped = EvalView(384, 1.0, warp=True, imaging=imaging)(pixels)
  np.testing.assert_array_equal(warped[::16, ::16], golden.arrays["warp384_u8_sub16"])
  normalised = np.asarray(normalize(jnp.asarray(cropped[None]), IMAGENET_MEAN, IMAGENET_STD))[0]
  expected = golden.arrays["out_norm_chw_sub4"].transpose(1, 2, 0)
  np.testing.assert_allclose(normalised[::4, ::4], expected, atol=1e-6)


def test_the_central_square_is_seen():
  wide = np.zeros((20, 40, 4), np.uint8)
  wide[:, 10:30] = 200
  view = EvalView(10, 1.0)(wide)
  assert view.shape == (10, 10, 3)
  assert view[:, 2:-2].min() == 200
  assert EvalView(10, 0.5)(wide).min() == 200
  np.testing.assert_array_equal(EvalView(10, 0.5)(wide.swapaxes(0, 1).copy()), 200)


def test_settings_are_checked():
  for size, fraction in ((0, 1.0), (8, 0.0), (8, 1.1)):
    with pytest.raises(InputError, match="`image_size` and `crop_fraction` must be"):
      EvalView(size, fraction)
  with pytest.raises(InputError, match="did you mean 'turbo'"):
    EvalView(8, 1.0, imaging="turb")
