"""This module builds a TFDS dataset of made-up scenes with the class of every pixel."""

import tensorflow_datasets as tfds

from hornet_jax.data.largest_sizes import LargestSizes
from hornet_jax.data.preparing.shapes import CLASS_NAMES, make_scene
from hornet_jax.data.views.masks import encode_png

_DESCRIPTION = """
Circles, boxes and triangles over noise, 128x128 pixels, made up: 500 scenes to train on and 100 to
evaluate on, with exact masks of four classes, the background among them.
"""
_SIZES = {"train": 500, "test": 100}


class Builder(tfds.core.GeneratorBasedBuilder):
  """`Builder` draws the scenes and needs no network."""

  VERSION = tfds.core.Version("1.1.0")
  RELEASE_NOTES: dict[str, str] = {  # noqa: RUF012
    "1.1.0": "A grey ground; the largest size is told.",
    "1.0.0": "500 and 100 scenes.",
  }

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      description=_DESCRIPTION,
      features=tfds.features.FeaturesDict(
        {
          "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
          "mask": tfds.features.LabeledImage(
            labels=list(CLASS_NAMES), shape=(None, None, 1), encoding_format="png"
          ),
        }
      ),
      supervised_keys=("image", "mask"),
    )

  def _split_generators(self, dl_manager):
    sizes = LargestSizes()
    return {split: self._generate_examples(split, sizes) for split in _SIZES}

  def _generate_examples(self, split, sizes):
    seed = list(_SIZES).index(split)
    for number in range(_SIZES[split]):
      scene = make_scene(seed, number)
      sizes.see(split, scene.mask.shape)
      yield number, {"image": encode_png(scene.image), "mask": encode_png(scene.mask)}
    sizes.write(self.data_path)
