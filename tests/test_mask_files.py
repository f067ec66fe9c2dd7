"""Numbers in the files of masks, and the tables that make classes of them."""

import struct
import zlib

import numpy as np
import pytest
from pair_files import encode

from hornet_jax.data.pixels.decode import UndecodableImageError
from hornet_jax.data.preparing.masks.cityscapes_classes import LABEL_IDS, TRAIN_IDS
from hornet_jax.data.preparing.masks.class_table import (
  ClassTable,
  read_class_table,
  table_of_values,
)
from hornet_jax.data.preparing.masks.mask_files import read_codes
from hornet_jax.errors import InputError

VALUES = np.array([[0, 1, 2], [3, 2, 255]], np.uint8)
COLOURS = np.array([[[0, 0, 0], [128, 0, 64]], [[0, 0, 1], [255, 255, 255]]], np.uint8)


def grey_png(values, bits):
  """A grey PNG of few bits a pixel, which Pillow does not write."""
  rows = b""
  for row in values:
    digits = "".join(f"{value:0{bits}b}" for value in row)
    digits += "0" * (-len(digits) % 8)
    rows += bytes([0]) + int(digits, 2).to_bytes(len(digits) // 8, "big")

  def chunk(kind, content):
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

  header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
  parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
  return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_values_are_those_that_are_stored():
  shuffled = np.random.default_rng(0).permutation(768).astype(np.uint8).tolist()
  wide = np.array([[0, 300], [65535, 256]], np.uint16)
  few = VALUES % 4
  for name, encoded, expected in (
    ("grey", encode(VALUES), VALUES),
    ("palette", encode(VALUES, palette=shuffled), VALUES),
    ("palette of 2 bits", encode(few, palette=shuffled[:12], bits=2), few),
    ("BMP", encode(VALUES, palette=shuffled, file_format="BMP"), VALUES),
    ("16 bits", encode(wide), wide),
    ("TIFF of 16 bits", encode(wide, file_format="TIFF", compression="tiff_lzw"), wide),
    ("grey saved as colours", encode(np.dstack([VALUES] * 3)), VALUES),
    ("1 bit", encode(np.where(VALUES > 1, 255, 0).astype(np.uint8), mode="1"), VALUES > 1),
    ("2 bits", grey_png(few, 2), few),
    ("4 bits", grey_png(VALUES % 16, 4), VALUES % 16),
  ):
    np.testing.assert_array_equal(read_codes(encoded, colours=False), expected, name)


def grey_tiff(content, bits, kind):
  """A grey TIFF of one row of four pixels, which Pillow does not write."""
  tags = ((256, 4), (257, 1), (258, bits), (259, 1), (262, kind), (273, 8), (277, 1), (278, 1))
  tags = (*tags, (279, len(content)))
  entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
  begin = b"II*\0" + struct.pack("<I", 8 + len(content) + len(content) % 2)
  padded = content + bytes(len(content) % 2)
  return begin + padded + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize(
  ("encoded", "what"),
  [
    (b"P5\n# 3 4 5 6\n4 1\n20\n" + bytes([0, 7, 19, 20]), "a PPM whose largest value is 20"),
    (b"P2\n4 1\n# that\n300\n0 7 299 300", "a PPM whose largest value is 300"),
    (grey_tiff(bytes([0x12, 0x34]), 4, 1), "a TIFF of 4 bits and of the kind 1"),
    (grey_tiff(bytes([1, 2, 3, 4]), 8, 0), "a TIFF of 8 bits and of the kind 0"),
    (
      encode(VALUES % 2, palette=[0, 0, 0, 255, 255, 255], file_format="BMP"),
      "a BMP of 8 bits with few colours",
    ),
  ],
)
def test_what_readers_scale_is_refused(encoded, what):
  """Pillow makes other numbers of all of these than they store."""
  with pytest.raises(UndecodableImageError, match=f"the mask is {what}, .* save it as a PNG"):
    read_codes(encoded, colours=False)


def test_what_readers_do_not_scale_is_read():
  stored = np.array([[1, 2, 3, 4]])
  wide = struct.pack(">4H", 1, 2, 3, 400)
  for encoded, expected in (
    (b"P5\n4 1\n255\n" + bytes([1, 2, 3, 4]), stored),
    (b"P2 4 1 255\n1 2 3 4\n", stored),
    (b"P5 4 1 65535\n" + wide, [[1, 2, 3, 400]]),
    (grey_tiff(bytes([1, 2, 3, 4]), 8, 1), stored),
    (encode(VALUES, file_format="BMP"), VALUES),
    (encode(VALUES > 1, file_format="BMP"), VALUES > 1),
    (encode(VALUES > 1, file_format="TIFF"), VALUES > 1),
  ):
    np.testing.assert_array_equal(read_codes(encoded, colours=False), expected)


def test_colours_are_looked_up():
  table = ClassTable(["a", "b"], {0: 255, 128 << 16 | 64: 0, 1: 1, 0xFFFFFF: 0}, colours=True)
  expected = np.array([[255, 0], [1, 0]])
  opaque = np.dstack([COLOURS, np.full((2, 2), 255, np.uint8)])
  palette = np.array([[0, 1], [2, 3]], np.uint8)
  for encoded in (
    encode(COLOURS),
    encode(opaque),
    encode(palette, palette=COLOURS.ravel().tolist()),
  ):
    np.testing.assert_array_equal(table.look_up(read_codes(encoded, colours=True)), expected)
  table = ClassTable(["a"], {0: 0}, colours=True)
  with pytest.raises(UndecodableImageError, match="the colour 128,0,64 at 3 pixels, which is no"):
    table.look_up(read_codes(encode(COLOURS), colours=True))


@pytest.mark.parametrize(
  ("encoded", "colours", "message"),
  [
    (encode(VALUES, file_format="JPEG"), False, "is a JPEG, whose values are not those that were"),
    (encode(COLOURS, file_format="WEBP"), True, "is a WEBP, whose values"),
    (
      encode(np.zeros((16, 16), np.uint8), file_format="TIFF", compression="jpeg"),
      False,
      "a TIFF with jpeg",
    ),
    (encode(COLOURS), False, "has colours, such as 128,0,64: .* --classes=FILE.csv"),
    (encode(np.zeros((2, 2), np.float32), file_format="TIFF"), False, "pixels of the kind F"),
    (encode(np.full((2, 2), -1, np.int32), file_format="TIFF"), False, "from -1 to -1: expected 0"),
    (encode(np.dstack([COLOURS, COLOURS[..., 1]])), True, "transparent pixels"),
    (encode(np.zeros((2, 2), np.uint16)), True, "colours of 8 bits"),
    (encode(VALUES, turn=6), False, "its own EXIF data turn it"),
    (encode(VALUES, palette=[0, 0, 0] * 256, file_format="GIF"), False, "is a GIF"),
    (encode(np.tile(VALUES, (99, 99)))[:-200], False, "the mask: "),
    (b"no image", False, "the mask: cannot identify"),
  ],
)
def test_other_masks_are_refused(encoded, colours, message):
  with pytest.raises(UndecodableImageError, match=message):
    read_codes(encoded, colours=colours)


def write_table(tmp_path, text):
  file = tmp_path / "classes.csv"
  file.write_text(text, encoding="utf-8")
  return file


def test_a_table_of_values(tmp_path):
  table = read_class_table(
    write_table(tmp_path, "\ufeffName;Value\nStraße ;7\n空;300\nignored;0\nignored;255\nStraße;8\n")
  )
  assert table.names == ["Straße", "空"]
  assert table.classes == {7: 0, 300: 1, 0: 255, 255: 255, 8: 0}
  np.testing.assert_array_equal(table.look_up(np.array([[7, 300, 0, 8]])), [[0, 1, 255, 0]])
  with pytest.raises(UndecodableImageError, match="the mask has the value 9 at 1 pixel, which is"):
    table.look_up(np.array([[9, 7]]))
  more = table.ignoring([9, 0])
  assert more.look_up(np.array([[9, 7]])).tolist() == [[255, 0]]
  with pytest.raises(InputError, match="values without a class: got 300, which is '空'"):
    table.ignoring([300])


def test_a_table_of_colours(tmp_path):
  table = read_class_table(write_table(tmp_path, "name,r,g,b\nroad,128,64,128\nignored,0,0,0\n"))
  assert table.colours
  assert table.classes == {128 << 16 | 64 << 8 | 128: 0, 0: 255}
  with pytest.raises(InputError, match="`ignore` is for masks of values: got 3"):
    table.ignoring([3])


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("name\nroad\n", "must be a CSV file with a row of names"),
    ("name,id_\na,1\n", "must have the columns name and value, or name, r, g and b: .* 'id_'"),
    ("value,r,g,b\n1,2,3,4\n", "must have the columns"),
    ("name,value,r,g,b\na,1,2,3,4\n", "must have the columns"),
    ("name,r,g\na,1,2\n", "must have the columns"),
    ("name,value\n", "must have a row for each class"),
    ("name,value\nroad,one\n", "line 2: expected a whole number from 0 to 65535, got 'one'"),
    ("name,r,g,b\nroad,1,2,256\n", "line 2: expected a whole number from 0 to 255, got '256'"),
    ("name,value\nroad,\n", "line 2: .* got ''"),
    ("name,value\nroad,1\n,2\n", "line 3: expected the name of a class"),
    ("name,value\nroad,1\nsky,1\n", "line 3: the value 1 must have one class: got 'sky'"),
    ("name,r,g,b\na,0,0,1\nignored,0,0,1\n", "line 3: the colour 0,0,1 must have one class"),
    ("name,value\nignored,1\n", "must name 1 to 255 classes: .* names 0"),
    ("name,value\n" + "".join(f"c{k},{k}\n" for k in range(256)), "names 256"),
  ],
)
def test_broken_tables_are_one_line(tmp_path, text, message):
  with pytest.raises(InputError, match=message):
    read_class_table(write_table(tmp_path, text))
  with pytest.raises(InputError, match="must be a CSV file"):
    read_class_table(tmp_path / "none.csv")


def test_values_that_are_found_are_classes():
  assert table_of_values([0, 3, 200]).classes == {0: 0, 3: 1, 200: 2}
  with pytest.raises(InputError, match="1 to 255 different values that count: got 300"):
    table_of_values(range(300))
  with pytest.raises(InputError, match="got 0"):
    table_of_values([])


def test_cityscapes_has_19_classes_of_34():
  """Numbers and names of cityscapesScripts, and what its train ids of them are."""
  assert LABEL_IDS.names == TRAIN_IDS.names
  assert len(LABEL_IDS.names) == 19
  ids = np.arange(34)[None]
  trained = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
  classes = LABEL_IDS.look_up(ids)[0]
  assert np.flatnonzero(classes != 255).tolist() == trained
  assert classes[trained].tolist() == list(range(19))
  assert [LABEL_IDS.names[k] for k in (0, 10, 13, 16, 18)] == [
    *("road", "sky", "car", "train", "bicycle")
  ]
  assert TRAIN_IDS.look_up(np.array([[18, 255, 0]])).tolist() == [[18, 255, 0]]
