"""Encoded images of every kind become the same pixels with both libraries."""

import io

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from hornet_jax.data.pixels.decode import (
  UndecodableImageError,
  decode,
  decode_pixels,
  decode_pixels_with_pillow,
)
from hornet_jax.data.pixels.pixel_format import PixelFormat


def encoded(image, file_format="JPEG", **options):
  buffer = io.BytesIO()
  image.save(buffer, file_format, **options)
  return buffer.getvalue()


def picture(mode="RGB", size=(61, 45)):
  """Smooth, so that JPEG keeps it, with colour in it."""
  y, x = np.mgrid[: size[1], : size[0]]
  waves = [127 + 120 * np.sin(x / a + y / b) for a, b in ((9, 14), (5, -11), (-17, 6))]
  return Image.fromarray(np.stack(waves, -1).astype(np.uint8)).convert(mode)


def turned(orientation):
  exif = Image.Exif()
  exif[0x0112] = orientation
  return encoded(picture(), exif=exif)


PLAIN = {
  "4:2:0": encoded(picture(), quality=90),
  "4:2:2": encoded(picture(), subsampling="4:2:2"),
  "4:4:4": encoded(picture(), subsampling="4:4:4"),
  "progressive": encoded(picture(), progressive=True),
  "grey": encoded(picture("L")),
  "rgb": encoded(picture(), keep_rgb=True),
  "not turned": turned(1),
}
OTHER = {
  "turned": turned(6),
  "cmyk": encoded(picture("CMYK")),
  "png": encoded(picture(), "PNG"),
  "grey png": encoded(picture("L"), "PNG"),
  "transparent": encoded(picture("RGBA"), "PNG"),
  "palette": encoded(picture("P"), "GIF"),
}


@pytest.mark.parametrize("kind", [*PLAIN, *OTHER])
def test_pixels_are_pillows(kind, monkeypatch):
  content = {**PLAIN, **OTHER}[kind]
  calls, original = [], simplejpeg.decode_jpeg
  monkeypatch.setattr(
    simplejpeg, "decode_jpeg", lambda *args: calls.append(args) or original(*args)
  )
  pixels = decode_pixels(content)
  assert len(calls) == (kind in PLAIN)
  reference = decode_pixels_with_pillow(content)
  assert pixels.dtype == np.uint8
  assert pixels.shape == reference.shape == (*np.asarray(decode(content)).shape[:2], 4)
  np.testing.assert_array_equal(pixels[..., :3], reference[..., :3])


def test_turned_images_stand_upright():
  assert decode(turned(6)).size == (45, 61)
  assert decode_pixels(turned(6)).shape == (61, 45, 4)


@pytest.mark.parametrize("function", [decode, decode_pixels])
def test_the_reason_is_named(function):
  with pytest.raises(UndecodableImageError, match="no image format that Pillow knows"):
    function(b"not an image")
  for content in (PLAIN["4:2:0"][:-300], OTHER["png"][:-300]):
    with pytest.raises(UndecodableImageError, match=r"(?i)truncated"):
      function(content)


@pytest.mark.parametrize("function", [decode, decode_pixels])
def test_more_pixels_than_the_limit(function, monkeypatch, recwarn):
  """Ours holds, and not Pillow's, which warns and is one of the whole process."""
  monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
  with pytest.raises(UndecodableImageError, match="2,745 pixels are more than max_pixels, 200"):
    function(PLAIN["4:2:0"], PixelFormat(max_pixels=200))
  for limit in (2745, 0):
    function(PLAIN["4:2:0"], PixelFormat(max_pixels=limit))
    function(turned(6), PixelFormat(max_pixels=limit))
  assert not recwarn
  assert Image.MAX_IMAGE_PIXELS == 100
