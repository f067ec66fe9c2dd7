"""Images of any kind become the same inputs."""

import io

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import hornet_jax
from hornet_jax.data.views.eval_view import EvalView
from hornet_jax.data.views.preprocess import Preprocessing
from hornet_jax.errors import InputError


@pytest.fixture(scope="module")
def pixels():
  return np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def test_every_kind_of_image_gives_the_same(pixels, tmp_path):
  image = Image.fromarray(pixels)
  path = tmp_path / "image.png"
  image.save(path)
  content = path.read_bytes()
  kinds = [pixels, image, path, str(path), content, bytearray(content), jnp.asarray(pixels)]
  whole = hornet_jax.preprocess(kinds, image_size=16)
  assert whole.shape == (7, 16, 16, 3)
  assert whole.dtype == np.float32
  for kind in kinds:
    one = hornet_jax.preprocess(kind, image_size=16)
    np.testing.assert_array_equal(one[0], whole[0])
  np.testing.assert_array_equal(
    hornet_jax.preprocess(np.stack([pixels] * 2), image_size=16), whole[:2]
  )


def test_values_are_those_of_the_evaluation_view(pixels):
  preprocessing = Preprocessing(EvalView(20, 1.0), (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
  expected = (pixels[:, 5:25] / 255 - [0.1, 0.2, 0.3]) / [0.5, 0.6, 0.7]
  np.testing.assert_allclose(preprocessing(pixels)[0], expected, rtol=1e-5, atol=1e-6)
  grey = preprocessing([pixels[..., 0], pixels[..., :1]])
  np.testing.assert_array_equal(grey[0], grey[1])


@pytest.mark.parametrize(
  ("images", "message"),
  [
    ([], "at least one, got none"),
    (b"text", "cannot be read: no image format"),
    ("/none.png", "'/none.png' cannot be read: .*No such file"),
    (np.zeros((4, 4, 2), np.uint8), "2 channels, expected 3"),
    (np.zeros((4, 4, 3), np.float32), "float32 have no fixed range"),
    (np.zeros((0, 4, 3), np.uint8), r"got uint8 \(0, 4, 3\)"),
    (None, "or a sequence of such: got <class 'NoneType'>"),
    ([None], "an array of uint8 pixels, got <class 'NoneType'>"),
    ([[[0, 0, 0]]], "got <class 'list'>"),
    (Image.new("F", (4, 4)), "no fixed range"),
  ],
)
def test_what_is_no_image(images, message, untyped):
  with pytest.raises(InputError, match=message):
    hornet_jax.preprocess(images)


def test_sizes_are_checked(pixels):
  for sizes in ({"image_size": 0}, {"crop_fraction": 0.0}, {"crop_fraction": 1.5}):
    with pytest.raises(InputError, match="`image_size` and `crop_fraction` must be"):
      hornet_jax.preprocess(pixels, **sizes)


def test_a_very_long_image_takes_little_memory():
  """65,000 x 1 pixels at short side 256 would be 12 GB."""
  row = np.zeros((1, 65_000, 3), np.uint8)
  row[:, 32_490:32_510] = 255
  assert hornet_jax.preprocess(row, mean=(0.0,) * 3, std=(1.0,) * 3).min() == 1
  assert hornet_jax.preprocess(row.swapaxes(0, 1), mean=(0.0,) * 3, std=(1.0,) * 3).min() == 1


def test_exif_orientation_of_a_pillow_image():
  image = Image.new("RGB", (6, 4))
  exif = Image.Exif()
  exif[0x0112] = 6
  buffer = io.BytesIO()
  image.save(buffer, "JPEG", exif=exif)
  opened = Image.open(buffer)
  np.testing.assert_array_equal(
    hornet_jax.preprocess(opened, image_size=4),
    hornet_jax.preprocess(buffer.getvalue(), image_size=4),
  )


def test_images_are_decoded_as_training_does(monkeypatch):
  """By the library that the view names."""
  monkeypatch.setattr("hornet_jax.data.pixels.decode.simplejpeg.decode_jpeg", None)
  stream = io.BytesIO()
  Image.new("RGB", (20, 20), (200, 100, 0)).save(stream, "JPEG")
  view = EvalView(8, 1.0, imaging="pillow")
  assert Preprocessing(view, (0.5,) * 3, (0.5,) * 3)(stream.getvalue()).shape == (1, 8, 8, 3)
