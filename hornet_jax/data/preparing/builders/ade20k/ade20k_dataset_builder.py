"""This module builds ADE20K, of the scene parsing benchmark, as a TFDS dataset."""

import os
import pathlib
from typing import Any

import tensorflow_datasets as tfds

from hornet_jax.data.largest_sizes import LargestSizes
from hornet_jax.data.pixels.decode import UndecodableImageError
from hornet_jax.data.preparing.left_out import LEFT_OUT, left_out_text
from hornet_jax.data.preparing.masks.ade20k import HOMEPAGE, Ade20k
from hornet_jax.data.preparing.store import map_in_threads
from hornet_jax.data.views.masks import encode_png

_DESCRIPTION = """
Scenes with the class of every pixel among 150: the scene parsing benchmark, ADEChallengeData2016.
Pixels of no class are 255.
"""
_CITATION = """
@inproceedings{zhou2017scene,
  title={Scene Parsing through {ADE20K} Dataset},
  author={Zhou, Bolei and Zhao, Hang and Puig, Xavier and Fidler, Sanja and Barriuso, Adela and
    Torralba, Antonio},
  booktitle={CVPR},
  year={2017}
}
"""


class Builder(tfds.core.GeneratorBasedBuilder):
  """`Builder` stores the images byte by byte, and the masks with classes counted from 0.

  The caller gives the archive. A prepared dataset is read without it.
  """

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES: dict[str, str] = {"1.0.0": "Splits `train` and `validation`."}  # noqa: RUF012

  def __init__(self, *, archives: str, **kwargs: Any):
    """Makes a builder.

    Args:
      archives: path of the archive, see `Ade20k`.
      **kwargs: arguments of TFDS.
    """
    self._source = Ade20k(pathlib.Path(archives))
    super().__init__(**kwargs)
    # From this TFDS makes the copy in another process.
    self._original_state = {"archives": os.fspath(archives), **kwargs}

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      description=_DESCRIPTION,
      citation=_CITATION,
      homepage=HOMEPAGE,
      features=tfds.features.FeaturesDict(
        {
          "image": tfds.features.Image(),
          "mask": tfds.features.LabeledImage(
            labels=self._source.class_names, shape=(None, None, 1), encoding_format="png"
          ),
          "file_name": tfds.features.Text(),
        }
      ),
      supervised_keys=("image", "mask"),
    )

  def _split_generators(self, dl_manager):
    sizes, left_out = LargestSizes(), list(self._source.left_out)
    return {split: self._generate_examples(split, sizes, left_out) for split in self._source.pairs}

  def _generate_examples(self, split, sizes, left_out):
    def example(name: str) -> tuple[tuple[int, ...], dict[str, Any]] | str:
      try:
        image, classes = self._source.read(split, name)
      except UndecodableImageError as error:
        return str(error)
      encoded = {"image": image, "mask": encode_png(classes), "file_name": f"{name}.jpg"}
      return classes.shape, encoded

    names = self._source.pairs[split]
    for name, made in zip(names, map_in_threads(example, names), strict=True):
      if isinstance(made, str):
        left_out += [(f"{split}/{name}{ending}", made) for ending in (".jpg", ".png")]
      else:
        sizes.see(split, made[0])
        yield name, made[1]
    sizes.write(self.data_path)
    (self.data_path / LEFT_OUT).write_text(left_out_text(left_out))
