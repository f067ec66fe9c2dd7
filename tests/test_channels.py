"""Images of any number of channels and bits, from the file to the model."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tifffile
from PIL import Image

from hornet_jax.data.pixels.decode import (
  UndecodableImageError,
  count_channels,
  decode_pixels,
  decode_pixels_with_pillow,
)
from hornet_jax.data.pixels.imaging import IMAGING, get_imaging
from hornet_jax.data.pixels.pixel_format import PixelFormat
from hornet_jax.data.preparing.not_kept import has_more_pages, is_clipped
from hornet_jax.data.views.augment import Augmentation
from hornet_jax.data.views.eval_view import EvalView
from hornet_jax.data.views.preprocess import preprocess
from hornet_jax.errors import InputError
from hornet_jax.models import create_model
from hornet_jax.models.stem import Stem, adapt_stem

RNG = np.random.default_rng(0)


def tiff(values, planarconfig="contig", **options):
  planarconfig = planarconfig if values.ndim == 3 else None
  buffer = io.BytesIO()
  tifffile.imwrite(buffer, values, photometric="minisblack", planarconfig=planarconfig, **options)
  return buffer.getvalue()


def tiff_pages(values):
  return tiff(np.moveaxis(values, 2, 0), None)


def npy(values):
  buffer = io.BytesIO()
  np.save(buffer, values)
  return buffer.getvalue()


def png(values):
  buffer = io.BytesIO()
  Image.fromarray(values).save(buffer, "PNG")
  return buffer.getvalue()


def bands(channels, dtype=np.uint8, largest=255):
  return RNG.integers(0, largest, (16, 20, channels), dtype=dtype, endpoint=True)


@pytest.mark.parametrize("channels", [2, 13])
@pytest.mark.parametrize(
  "write",
  [
    npy,
    lambda values: npy(np.moveaxis(values, 2, 0)),
    tiff,
    lambda values: tiff(np.moveaxis(values, 2, 0), planarconfig="separate"),
    tiff_pages,
    lambda values: tiff(values, compression="lzw", predictor=True),
    lambda values: tiff(values, compression="zstd", bigtiff=True),
  ],
  ids=["npy", "npy planes", "samples", "planes", "pages", "lzw", "zstd"],
)
def test_channels_wherever_a_file_has_them(channels, write):
  values = bands(channels)
  content = write(values)
  assert count_channels(content) == channels
  pixels = decode_pixels(content, PixelFormat(channels))
  assert pixels.shape == (16, 20, -(-channels // 4) * 4)
  np.testing.assert_array_equal(pixels[..., :channels], values)
  if channels > 4:  # Pillow reads a TIFF of two channels as grey with opacity
    with pytest.raises(UndecodableImageError, match=r"(13|20) channels, expected 3"):
      decode_pixels(content)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_grey_colours_and_opacity_become_each_other_as_pillow_has_it(channels):
  mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
  for given in (bands(1)[..., 0], bands(3), bands(4)):
    expected = np.asarray(Image.fromarray(given).convert(mode)).reshape(16, 20, channels)
    for content in (png(given), npy(given), tiff(given)):
      for decode in (decode_pixels, decode_pixels_with_pillow):
        pixels = decode(content, PixelFormat(channels))
        np.testing.assert_array_equal(pixels[..., :channels], expected)


@pytest.mark.parametrize("write", [npy, tiff, png])
def test_twelve_bits_in_sixteen(write):
  values = bands(1, np.uint16, 4095)[..., 0]
  pixels = decode_pixels(write(values), PixelFormat(1, max_value=4095.0))[..., 0]
  np.testing.assert_array_equal(pixels, np.round(values / 4095 * 255))
  dark = decode_pixels(write(values), PixelFormat(1))[..., 0]
  np.testing.assert_array_equal(dark, np.round(values / 257))


def test_numbers_without_a_largest_value():
  values = np.array([[0.0, 0.5, 2.0, -1.0]], np.float32)
  with pytest.raises(UndecodableImageError, match="float32 have no fixed range"):
    decode_pixels(npy(values), PixelFormat(1))
  pixels = decode_pixels(npy(values), PixelFormat(1, max_value=1.0))[0, :, 0]
  assert pixels.tolist() == [0, 128, 255, 0]


@pytest.mark.parametrize("write", [npy, tiff])
@pytest.mark.parametrize("channels", [1, 13])
def test_what_is_no_number_is_no_image(write, channels):
  values = np.zeros((16, 20, channels), np.float32)
  values[3, 4:6, 0] = np.nan, -np.inf
  with pytest.raises(UndecodableImageError, match=f"infinite or NaN: 2 of {320 * channels:,}"):
    decode_pixels(write(np.squeeze(values)), PixelFormat(channels, max_value=1.0))


def test_values_beyond_the_range_are_seen():
  twelve = PixelFormat(1, max_value=4095.0)
  for largest, is_beyond in ((4095, False), (4096, True)):
    values = np.array([[0, 7, largest]], np.uint16)
    for write in (npy, tiff, png):
      assert is_clipped(write(values), twelve) == is_beyond
      assert not is_clipped(write(values), PixelFormat(1))
  floats = np.array([[0.0, 0.5, 1.0]], np.float32)
  for write in (npy, tiff):
    assert not is_clipped(write(floats), PixelFormat(1, max_value=1.0))
    assert is_clipped(write(floats - 0.1), PixelFormat(1, max_value=1.0))
  for content in (
    png(bands(3)),
    npy(bands(3)),
    tiff(bands(3)),
    tiff(bands(1)[..., 0] > 9),
    b"II*\0",
  ):
    assert not is_clipped(content, PixelFormat(3))


@pytest.mark.parametrize("channels", [3, 13])
def test_the_first_of_pages_with_channels_is_read(channels):
  values, buffer = bands(channels), io.BytesIO()
  with tifffile.TiffWriter(buffer) as writer:
    for page in (values, 255 - values, values // 2):
      photometric = "rgb" if channels == 3 else "minisblack"
      writer.write(page, photometric=photometric, planarconfig="contig", contiguous=True)
  content = buffer.getvalue()
  assert count_channels(content) == channels
  pixels = decode_pixels(content, PixelFormat(channels))
  np.testing.assert_array_equal(pixels[..., :channels], values)  # RGB has a fourth one
  assert has_more_pages(content, PixelFormat(channels))


def test_pages_that_are_not_read_are_seen():
  assert has_more_pages(tiff_pages(bands(2)), PixelFormat())  # of two grey pages the first
  assert not has_more_pages(tiff_pages(bands(13)), PixelFormat(13))
  assert not has_more_pages(tiff(bands(13)), PixelFormat(13))
  assert not has_more_pages(png(bands(3)), PixelFormat())
  for values, channels in ((bands(3), 3), (bands(13), 13)):
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
      for page, kind in ((values, {}), (values[::2, ::2], {"subfiletype": 1})):
        writer.write(page, photometric="minisblack", planarconfig="contig", **kind)
      assert not has_more_pages(buffer.getvalue(), PixelFormat(channels))
      writer.write(values[:8], photometric="minisblack", planarconfig="contig")
    assert has_more_pages(buffer.getvalue(), PixelFormat(channels))


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (png(bands(3)), "3 channels, expected 13"),
    (npy(bands(13))[:-7], "expected 4160 bytes"),
    (tiff(bands(13))[:200], None),
    (b"II*\0", None),
    (npy(np.zeros((2, 3, 4, 5))), "expected height, width, channels"),
    (npy(np.array([[{}]], object)), "allow_pickle"),
    (b"nothing", "no image format|cannot identify"),
  ],
)
def test_what_is_no_image_of_thirteen_channels(content, message):
  with pytest.raises(UndecodableImageError, match=message):
    decode_pixels(content, PixelFormat(13))


@pytest.mark.parametrize("write", [npy, tiff, tiff_pages])
def test_size_is_checked_before_the_pixels_are_read(monkeypatch, write):
  content = write(bands(13))
  monkeypatch.setattr("hornet_jax.data.pixels.decode.decode_array", None)
  with pytest.raises(UndecodableImageError, match="320 pixels are more than max_pixels, 319"):
    decode_pixels(content, PixelFormat(13, max_pixels=319))


@pytest.mark.parametrize("channels", [1, 4, 13])
def test_channels_are_resized_one_by_one(channels):
  values = bands(channels)
  views = {}
  for name in IMAGING:
    imaging = get_imaging(name, PixelFormat(channels))
    views[name] = imaging.resize(imaging.decode(npy(values)), 5, 7, window=(1, 2, 4, 5), flip=True)
  for channel in range(channels):
    whole = Image.fromarray(values[..., channel]).resize((7, 5), Image.Resampling.BICUBIC)
    expected = np.asarray(whole)[1:5, 2:7][:, ::-1]
    for view in views.values():
      np.testing.assert_array_equal(view[..., channel], expected)


def test_rand_augment_is_for_colours():
  with pytest.raises(InputError, match="expected '', got 'rand-m9' with 13 channels"):
    Augmentation("padded", rand_augment="rand-m9", pixel_format=PixelFormat(13))
  augmentation = Augmentation("random_resized", flip_rate=0.5, pixel_format=PixelFormat(13))
  pixels = augmentation.library.decode(npy(bands(13)))
  assert augmentation.view(pixels, 8, np.random.default_rng(0)).shape == (8, 8, 13)


def test_arrays_are_preprocessed(untyped):
  values = bands(13)
  mean, std = np.linspace(0.2, 0.8, 13), np.linspace(0.1, 0.4, 13)
  inputs = preprocess(values, image_size=9, crop_fraction=1.0, mean=mean, std=std)
  square = EvalView(9, 1.0, pixel_format=PixelFormat(13))(
    decode_pixels(npy(values), PixelFormat(13))
  )
  np.testing.assert_allclose(inputs[0], (square / 255 - mean) / std, rtol=1e-5, atol=1e-5)


def test_a_stem_for_other_channels():
  """Grey gives what it gave as RGB; more channels of equal values what three of them gave."""
  stem = Stem(5, 4)
  grey = jax.random.normal(jax.random.key(0), (1, 8, 8, 1))
  params = stem.init(jax.random.key(1), jnp.repeat(grey, 3, -1))["params"]
  expected = stem.apply({"params": params}, jnp.repeat(grey, 3, -1))
  for channels in (1, 6, 9):
    kernel = adapt_stem(params["conv"]["kernel"], channels)
    adapted = {**params, "conv": {**params["conv"], "kernel": kernel}}
    assert kernel.shape == (4, 4, channels, 5)
    result = stem.apply({"params": adapted}, jnp.repeat(grey, channels, -1))
    np.testing.assert_allclose(result, expected, atol=1e-5)
  np.testing.assert_allclose(
    adapt_stem(params["conv"]["kernel"], 4)[:, :, 3], params["conv"]["kernel"][:, :, 0] * 0.75
  )


def test_a_model_that_insists_on_its_channels():
  model = create_model("hornet_nano_7x7", in_channels=13)
  shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 13)))["params"]
  assert shapes["stem"]["conv"]["kernel"].shape[2] == 13
  with pytest.raises(InputError, match=r"of 13 channels.*got \(1, 32, 32, 3\)"):
    jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
