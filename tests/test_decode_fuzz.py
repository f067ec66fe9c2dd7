"""JPEGs with odd headers give Pillow's pixels, turned by the tag alone, or are refused by both."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from hornet_jax.data.pixels.decode import (
  UndecodableImageError,
  decode_pixels,
  decode_pixels_with_pillow,
)

_KINDS = [*range(1, 14), 99]  # of entries, and one that does not exist
_TAGS = [0x0112, 0x011A, 0x011B, 0x0128, 0x8769, 0x8825, 0x010F, 0x0132, 0x9286, 0x0201, 0xA005]
# What each orientation does to an array [H, W, 3], by the words of the Exif specification.
_UPRIGHT = {
  2: lambda a: a[:, ::-1],
  3: lambda a: a[::-1, ::-1],
  4: lambda a: a[::-1],
  5: lambda a: a.swapaxes(0, 1),
  6: lambda a: np.rot90(a, -1),
  7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
  8: np.rot90,
}


def bases():
  """Small JPEGs of several kinds, without any metadata."""
  rng = np.random.default_rng(0)
  pixels = rng.integers(0, 256, (13, 19, 3), np.uint8)
  for mode, options in (("RGB", {}), ("L", {}), ("CMYK", {}), ("RGB", {"progressive": True})):
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, "JPEG", **options)
    yield stream.getvalue()


BASES = list(bases())


def segment(payload, marker=0xE1):
  payload = payload[:65000]
  return bytes((0xFF, marker)) + struct.pack(">H", len(payload) + 2) + payload


def exif(rng, orientation):
  """A directory of odd entries, the orientation among them or not."""
  order = rng.choice(["<", ">"])
  entries = []
  for _ in range(rng.integers(0, 6)):
    kind = int(rng.choice(_KINDS))
    count = int(rng.choice([0, 1, 1, 2, 3, 70000]))
    entries.append((int(rng.choice(_TAGS[1:])), kind, count, rng.bytes(4)))
  if orientation is not None:
    kind = int(rng.choice([3, 3, 3, 3, 4, 1, 7, 2, 5]))
    value = {3: struct.pack(f"{order}HH", orientation, 0), 4: struct.pack(f"{order}I", orientation)}
    entries.append((0x0112, kind, int(rng.choice([1, 1, 1, 0, 2])), value.get(kind, rng.bytes(4))))
  rng.shuffle(entries)
  body = struct.pack(f"{order}H", len(entries))
  for tag, kind, count, value in entries:
    body += struct.pack(f"{order}HHI", int(tag), int(kind), int(count)) + bytes(value)
  body += struct.pack(f"{order}I", int(rng.choice([0, 0, 8, 2**31]))) + rng.bytes(24)
  head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
  return segment(b"Exif\0\0" + head + body)


def xmp(orientation):
  text = f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'
  return segment(b"http://ns.adobe.com/xap/1.0/\0" + text.encode())


def fuzzed(seed):
  """A JPEG by its seed."""
  rng = np.random.default_rng(seed)
  content = BASES[seed % len(BASES)]
  orientation = rng.choice([None, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 300])
  parts = []
  if rng.random() < 0.3:  # looks like the start of the pixels
    parts.append(segment(b"\xff\xda" + rng.bytes(9), marker=0xE5))
  if rng.random() < 0.8:
    parts.append(exif(rng, orientation))
  if rng.random() < 0.3:
    parts.append(xmp(rng.choice([1, 3, 6, 8, 9])))
  if rng.random() < 0.1:
    parts.append(b"\xff" * int(rng.integers(1, 4)))  # fill bytes
  if rng.random() < 0.1:
    parts.append(exif(rng, orientation))
  # Before or behind JFIF's own segment, which has its length in two bytes.
  after = 2 if rng.random() < 0.5 else 4 + int.from_bytes(content[4:6])
  content = bytearray(content[:after] + b"".join(parts) + content[after:])
  damage = rng.random()
  if damage < 0.15:
    for _ in range(rng.integers(1, 4)):
      content[rng.integers(2, len(content))] = rng.integers(0, 256)
  elif damage < 0.2:
    del content[rng.integers(2, len(content)) :]
  return bytes(content)


def reference(content):
  """What Pillow says: pixels turned by the orientation, if that can be read; None if refused."""
  try:
    with Image.open(io.BytesIO(content)) as image:
      pixels = np.asarray(image.convert("RGB"))
      try:
        turn = _UPRIGHT.get(image.getexif().get(0x0112, 1))
      except Exception:
        turn = None
  except Exception:
    return None
  return pixels if turn is None else turn(pixels)


def ours(function, content):
  try:
    return function(content)[..., :3]
  except UndecodableImageError:
    return None


def check(seed):
  """Returns whether Pillow reads it."""
  content = fuzzed(seed)
  expected = reference(content)
  for function in (decode_pixels, decode_pixels_with_pillow):
    found = ours(function, content)
    if expected is not None:
      assert found is not None, f"seed {seed}: {function.__name__} refuses"
      np.testing.assert_array_equal(found, expected, err_msg=f"seed {seed}, {function.__name__}")
    elif found is not None:  # metadata alone were at fault
      assert np.prod(found.shape) == 13 * 19 * 3, f"seed {seed}: {function.__name__} reads it"
  return expected is not None


@pytest.mark.filterwarnings("ignore")  # Pillow's, of broken tags
def test_some_headers():
  readable = sum(map(check, range(400)))
  assert readable > 250


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_20_000_headers():
  readable = sum(map(check, range(400, 20_400)))
  assert readable > 12_500


@pytest.mark.parametrize("function", [decode_pixels, decode_pixels_with_pillow])
def test_metadata_that_pillow_refuses(function, monkeypatch):
  """The pixels are sound: they are read, and turned."""
  opened = Image.open

  def refusing(stream):
    if b"Exif" in stream.getvalue():
      raise TypeError("a resolution of type UNDEFINED")
    return opened(stream)

  plain = BASES[0]
  content = plain[:2] + xmp(6) + segment(b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0") + plain[2:]
  expected = np.rot90(ours(decode_pixels, plain), -1)
  monkeypatch.setattr(Image, "open", refusing)
  np.testing.assert_array_equal(ours(function, content), expected)
