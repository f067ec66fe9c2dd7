"""Archives of the evaluation sets around ImageNet, with what they may hold by mistake."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from hornet_jax.cli.main import main
from hornet_jax.data.datasets import open_split
from hornet_jax.data.imagenet_classes import synsets
from hornet_jax.data.preparing.imagenet.eval_archives import EVAL_SETS, EvalArchives
from hornet_jax.data.preparing.imagenet.generated import tar_of, write_eval_archives
from hornet_jax.errors import InputError

CLASS = synsets()[7]
PUBLISHED = {
  "imagenet_v2": 10_000,
  "imagenet_a": 7_500,
  "imagenet_r": 30_000,
  "imagenet_sketch": 50_889,
  "imagenet_c": 3_750_000,
}


def picture(value):
  buffer = io.BytesIO()
  Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(buffer, "PNG")
  return buffer.getvalue()


def test_the_published_numbers():
  assert {name: known.num_images for name, known in EVAL_SETS.items()} == PUBLISHED


def test_what_is_not_used_is_named_a_line_each(tmp_path, capfd):
  archive = tmp_path / "imagenet-a.tar"
  members = [
    (f"imagenet-a/{CLASS}/a.jpg", 1),
    (f"imagenet-a/{synsets()[8]}/a.jpg", 2),
    (f"imagenet-a/{CLASS}/caf\udce9.jpg", 3),
    (f"imagenet-a/{CLASS}/a.jpg", 4),
    (f"again/{CLASS}/a.jpg", 5),
    (f"again/{CLASS}/a.jpg", 5),
    ("imagenet-a/two\nlines.jpg", 6),
  ]
  archive.write_bytes(tar_of([(name, picture(value)) for name, value in members]))
  flags = [f"--archives={archive}", f"--data_dir={tmp_path / 'data'}"]
  assert main(["prepare", "imagenet_a", *flags]) == 2
  assert "must hold the 7,500 images of imagenet_a: got 3" in capfd.readouterr().err
  assert main(["prepare", "imagenet_a", *flags, "--partial"]) == 0
  source = open_split("imagenet_a", "test", str(tmp_path / "data")).source
  assert {example["file_name"].decode(): example["image"] for example in source} == {
    f"{CLASS}/a.jpg": picture(1),
    f"{synsets()[8]}/a.jpg": picture(2),
    f"{CLASS}/caf\\udce9.jpg": picture(3),
  }
  path = tmp_path / "data" / "imagenet_a" / "1.0.0"
  assert (path / "left_out.txt").read_text() == (
    f"imagenet-a.tar/again/{CLASS}/a.jpg\ta duplicate, by name\n" * 2
    + f"imagenet-a.tar/imagenet-a/{CLASS}/a.jpg\ta duplicate, by name\n"
    + "imagenet-a.tar/imagenet-a/two\\nlines.jpg\tno image in a folder of its class\n"
  )
  # Prepared already: the number is checked all the same.
  capfd.readouterr()
  assert main(["prepare", "imagenet_a", *flags]) == 2
  assert "must have the 7,500 images of imagenet_a/test: it has 3." in capfd.readouterr().err
  assert main(["prepare", "imagenet_a", *flags, "--partial"]) == 0
  assert "--archives not read" in capfd.readouterr().out


def test_names_that_lead_outside(tmp_path):
  archive = tmp_path / "ImageNet-Sketch.zip"
  names = [f"/sketch/{CLASS}/a.jpg", f"../{CLASS}/b.jpg", f"sketch/{CLASS}/c.jpg"]
  with zipfile.ZipFile(archive, "w") as file:
    for name in names:
      file.writestr(name, picture(0))
  source = EvalArchives("imagenet_sketch", archive)
  assert [image.name for image in source.images()] == [f"{CLASS}/c.jpg"]
  assert [name for name, _ in source.left_out] == [f"{archive.name}/{name}" for name in names[:2]]


def test_a_whole_set_passes(tmp_path):
  archive = tmp_path / "imagenet-a.tar"
  archive.write_bytes(tar_of([(f"imagenet-a/{CLASS}/{i}.jpg", b"") for i in range(7_500)]))
  source = EvalArchives("imagenet_a", archive)
  source.check_count(partial=False)
  archive.write_bytes(tar_of([(f"imagenet-a/{CLASS}/{i}.jpg", b"") for i in range(7_499)]))
  with pytest.raises(InputError, match=r"must hold the 7,500 images of imagenet_a: got 7,499\."):
    source.check_count(partial=False)


@pytest.mark.parametrize("name", EVAL_SETS)
def test_unpacked_and_generated_sets_are_read(name, tmp_path):
  """A folder of what the archives unpack to gives the same images."""
  packed, unpacked = tmp_path / "packed", tmp_path / "unpacked"
  packed.mkdir()
  write_eval_archives(name, packed, num_classes=2)
  expected = {(x.name, x.label, x.read()) for x in EvalArchives(name, packed).images()}
  for image_name, _, content in expected:
    path = unpacked / "root" / image_name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
  found = EvalArchives(name, unpacked).images()
  assert {(x.name, x.label, x.read()) for x in found} == expected
  assert len({label for _, label, _ in expected}) == 2
