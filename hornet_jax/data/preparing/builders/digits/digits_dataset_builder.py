"""This module builds a TFDS dataset of the UCI handwritten digits that scikit-learn carries."""

import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

_DESCRIPTION = """
1,797 scans of handwritten digits of 43 people, 8x8 grey pixels, ten classes. Training
and test split are fixed and stratified by class: 1,437 and 360 images.
"""
_CITATION = """
@misc{alpaydin1998optical,
  title={Optical Recognition of Handwritten Digits},
  author={Alpaydin, E. and Kaynak, C.},
  year={1998},
  howpublished={UCI Machine Learning Repository},
}
"""


class Builder(tfds.core.GeneratorBasedBuilder):
  """`Builder` reads the arrays inside the scikit-learn wheel and needs no network."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES: dict[str, str] = {"1.0.0": "Stratified split 1,437 / 360."}  # noqa: RUF012

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      description=_DESCRIPTION,
      citation=_CITATION,
      homepage="https://archive.ics.uci.edu/dataset/80",
      features=tfds.features.FeaturesDict(
        {
          "image": tfds.features.Image(shape=(8, 8, 1), encoding_format="png"),
          "label": tfds.features.ClassLabel(names=[str(digit) for digit in range(10)]),
        }
      ),
      supervised_keys=("image", "label"),
    )

  def _split_generators(self, dl_manager):
    digits = load_digits()
    indices = np.arange(len(digits.target))
    train, test = train_test_split(indices, test_size=360, random_state=0, stratify=digits.target)
    return {
      "train": self._generate_examples(digits, np.sort(train)),
      "test": self._generate_examples(digits, np.sort(test)),
    }

  def _generate_examples(self, digits, indices):
    for index in indices.tolist():
      # Scans have 17 grey levels, 0 to 16; spread them over the whole byte.
      image = np.round(digits.images[index] * (255 / 16)).astype(np.uint8)
      yield index, {"image": _png(image), "label": int(digits.target[index])}


def _png(image):
  """Encodes an image: TFDS would do it with TensorFlow, which nothing else here needs."""
  encoded = io.BytesIO()
  Image.fromarray(image).save(encoded, "png")
  return encoded.getvalue()
