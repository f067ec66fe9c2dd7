"""Smaller copies of images, and of a whole dataset."""

import io

import numpy as np
import pytest
from PIL import Image

from hornet_jax.cli.main import main
from hornet_jax.data.datasets import open_split
from hornet_jax.data.pixels.decode import decode_pixels
from hornet_jax.data.pixels.smaller import shrink, smaller_name


def encoded(width, height, kind="JPEG", **settings):
  y, x = np.mgrid[:height, :width]
  pixels = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(np.uint8)
  stream = io.BytesIO()
  Image.fromarray(pixels).save(stream, kind, **settings)
  return stream.getvalue()


@pytest.mark.parametrize(("size", "expected"), [((90, 60), (48, 32)), ((61, 301), (32, 158))])
def test_the_short_side_is_as_asked(size, expected):
  content = encoded(*size, kind="PNG")
  small = shrink(content, 32, 95)
  image = Image.open(io.BytesIO(small))
  assert (image.format, image.size) == ("JPEG", expected)
  wanted = Image.open(io.BytesIO(content)).resize(expected, Image.Resampling.BICUBIC)
  difference = np.abs(np.asarray(image).astype(int) - np.asarray(wanted))
  assert difference[..., :2].mean() < 4  # the third channel is too fine for a JPEG


def test_an_image_is_turned_once():
  exif = Image.Exif()
  exif[0x0112] = 6
  content = encoded(90, 60, exif=exif)
  turned, small = decode_pixels(content), decode_pixels(shrink(content, 30, 95))
  assert turned.shape[:2] == (90, 60)
  assert small.shape[:2] == (45, 30)


def test_what_would_not_be_smaller_stays():
  tiny = encoded(20, 40)
  assert shrink(tiny, 20, 90) is tiny
  assert shrink(b"no image", 20, 90) == b"no image"


def test_names():
  assert smaller_name("imagenet22k/winter21", 256, 90) == "imagenet22k_winter21_short256_q90"


@pytest.mark.slow
def test_a_dataset_is_copied(tmp_path, capfd):
  for k, name in enumerate(("a", "b")):
    (tmp_path / "photos" / name).mkdir(parents=True)
    for i in range(4):
      (tmp_path / "photos" / name / f"{i}.jpg").write_bytes(encoded(80 + i, 64 + 40 * k))
  data_dir = str(tmp_path / "data")
  folder = ["prepare", "folder", f"--path={tmp_path / 'photos'}", "--name=photos"]
  assert main([*folder, f"--data_dir={data_dir}"]) == 0
  arguments = ["prepare", "smaller", "--name=photos", "--short_side=32", f"--data_dir={data_dir}"]
  for _ in range(2):  # the second time it is there
    assert main([*arguments, "--quality=80"]) == 0
    assert "--config.data.dataset=photos_short32_q80" in capfd.readouterr().out
  for split in ("train", "test"):
    old, new = (open_split(name, split, data_dir) for name in ("photos", "photos_short32_q80"))
    assert new.class_names == old.class_names
    assert len(new.source) == len(old.source)
    pairs = [(old.source[i], new.source[i]) for i in range(len(old.source))]
    assert {min(decode_pixels(copy["image"]).shape[:2]) for _, copy in pairs} == {32}
    labels = [
      sorted((example["file_name"], int(example["label"])) for example in side)
      for side in zip(*pairs, strict=True)
    ]
    assert labels[0] == labels[1]
  for wrong in ("--quality=101", "--name=nothing"):
    assert main([*arguments, wrong]) == 2
