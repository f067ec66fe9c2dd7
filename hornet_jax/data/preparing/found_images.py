"""What is found of somebody's own images before any of them is decoded."""

import dataclasses
import pathlib

SPLIT_NAMES = {
  "train": "train",
  "training": "train",
  "val": "validation",
  "valid": "validation",
  "validation": "validation",
  "dev": "validation",
  "eval": "validation",
  "test": "test",
  "testing": "test",
}
"""Names that people give to splits -> names of TFDS splits."""

ALL = "all"
"""The name of what is yet to be split by rule."""

Item = tuple[pathlib.Path, int]
"""A file and its label."""


@dataclasses.dataclass(frozen=True)
class FoundImages:
  """These are the files that somebody means, with their labels.

  Attributes:
    path: folder of the images.
    class_names: names of the classes, in the order of the labels.
    splits: TFDS split name -> (file, label) of every file; `ALL` alone where they are yet to be
      split.
    left_out: file or folder -> reason why it is not used.
    rule: description of how they are split; empty where they are yet to be.
  """

  path: pathlib.Path
  class_names: list[str]
  splits: dict[str, list[Item]]
  left_out: dict[pathlib.Path, str]
  rule: str = ""
