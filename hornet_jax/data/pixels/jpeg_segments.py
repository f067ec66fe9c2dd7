"""This module walks the segments in front of a JPEG's pixels, without decoding anything.

Source: ITU-T T.81, section B.1.1; names of the metadata as in the Exif and XMP specifications.
"""

from collections.abc import Iterator

_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_APP1, _START_OF_SCAN, _END_OF_IMAGE = 0xE1, 0xDA, 0xD9
_WITHOUT_LENGTH = {0x00, 0x01, *range(0xD0, 0xD9)}  # an escaped FF, TEM, RST0 to RST7, SOI


def metadata(encoded: bytes) -> dict[str, bytes]:
  """Reads the EXIF and XMP data of a JPEG, by the names that Pillow gives them.

  Args:
    encoded: bytes of a file.

  Returns:
    `exif` and `xmp`, where they are there: several Exif segments are joined, the last XMP counts.
  """
  found: dict[str, bytes] = {}
  for begin, end in _app1(encoded):
    payload = encoded[begin + 4 : end]
    if payload.startswith(_EXIF):
      found["exif"] = found["exif"] + payload[len(_EXIF) :] if "exif" in found else payload
    else:
      found["xmp"] = payload[len(_XMP) :]
  return found


def without_metadata(encoded: bytes) -> bytes:
  """Returns a JPEG without its EXIF and XMP segments; other bytes as they are."""
  parts, position = [], 0
  for begin, end in _app1(encoded):
    parts.append(encoded[position:begin])
    position = end
  return b"".join([*parts, encoded[position:]])


def _app1(encoded: bytes) -> Iterator[tuple[int, int]]:
  """Yields the bounds of each segment with EXIF or XMP data, its marker included."""
  position = 2 if encoded.startswith(b"\xff\xd8") else len(encoded)
  while position + 4 <= len(encoded):
    marker = encoded[position + 1]
    if encoded[position] != 0xFF or marker == 0xFF:  # bytes between segments, fill bytes
      position += 1
    elif marker in _WITHOUT_LENGTH:
      position += 2
    elif marker in (_START_OF_SCAN, _END_OF_IMAGE):
      return
    else:
      end = position + 2 + int.from_bytes(encoded[position + 2 : position + 4])
      payload = encoded[position + 4 : end]
      if marker == _APP1 and payload.startswith((_EXIF, _XMP)):
        yield position, end
      position = max(end, position + 4)
