"""This module builds a TFDS dataset of made-up scenes with a box and a mask of every shape."""

import pathlib
import tempfile

import tensorflow_datasets as tfds

from hornet_jax.data.category_ids import CATEGORIES as CATEGORIES_FILE
from hornet_jax.data.category_ids import categories_text
from hornet_jax.data.largest_sizes import LargestSizes
from hornet_jax.data.preparing.coco.build_instances import described, examples, features
from hornet_jax.data.preparing.coco.check_instances import check_instances
from hornet_jax.data.preparing.coco.coco_file import read_coco
from hornet_jax.data.preparing.coco.generated_coco import CATEGORIES
from hornet_jax.data.preparing.coco.image_places import ImagePlaces
from hornet_jax.data.preparing.coco.write_coco import write_coco
from hornet_jax.data.preparing.shapes import CLASS_NAMES, make_scene
from hornet_jax.data.views.masks import encode_png

_DESCRIPTION = """
Circles, boxes and triangles over noise, 128x128 pixels, made up: 500 scenes to train on and 100 to
evaluate on, those of `shapes`, with the box and the exact mask of each shape as far as it is seen.
"""
_SIZES = {"train": 500, "test": 100}


class Builder(tfds.core.GeneratorBasedBuilder):
  """`Builder` draws the scenes, writes them in COCO's format, and reads that as any other."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES: dict[str, str] = {"1.0.0": "500 and 100 scenes."}  # noqa: RUF012

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      description=_DESCRIPTION, features=features(list(CATEGORIES))
    )

  def _split_generators(self, dl_manager):
    sizes = LargestSizes()
    return {split: self._generate_examples(split, sizes) for split in _SIZES}

  def _generate_examples(self, split, sizes):
    with tempfile.TemporaryDirectory() as temporary:
      folder = pathlib.Path(temporary)
      annotations = folder / "annotations.json"
      write_coco(_images(split), folder, annotations, CATEGORIES)
      labels = {number: label for label, number in enumerate(CATEGORIES.values())}
      file = read_coco(annotations.read_bytes(), annotations.name)
      images, wrong = check_instances(file, ImagePlaces([folder]), labels)
      assert not wrong, wrong
      for image in images:
        sizes.see(split, image.size)
      yield from examples(described(image) for image in images)
    sizes.write(self.data_path)
    (self.data_path / CATEGORIES_FILE).write_text(categories_text(CATEGORIES))


def _images(split):
  for number in range(_SIZES[split]):
    scene = make_scene(list(_SIZES).index(split), number)
    things = [(CLASS_NAMES[kind], seen, False) for kind, seen in scene.shapes]
    yield f"{number:03d}.png", encode_png(scene.image), things, scene.mask.shape
