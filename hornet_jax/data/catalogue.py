"""This module lists the datasets that are known by name."""

import dataclasses

from hornet_jax.data.preparing.imagenet.eval_archives import EVAL_SETS
from hornet_jax.data.preparing.imagenet.imagenet22k import BUILDS
from hornet_jax.errors import unknown_name


@dataclasses.dataclass(frozen=True)
class Dataset:
  """A `Dataset` can be prepared by its name.

  Attributes:
    train_split: TFDS split to train on; empty for those that are for evaluation only.
    eval_split: TFDS split to evaluate on.
    tfds_name: name in TFDS's catalogue, with the config where it has several.
    builder: dotted path of the module of ours that holds a TFDS `Builder`, where TFDS has none.
    needs_archives: whether a person has to get its archives.
    num_examples: size of `train_split` as published; 0 where only the prepared dataset tells.
    num_classes: number of classes; 0 likewise.
    num_empty: number of these on which no thing lies, of a dataset of things, as published.
    may_lack_images: whether preparing it leaves out images, such as those that cannot be decoded,
      so that the prepared dataset alone has exact sizes.
  """

  train_split: str
  eval_split: str
  tfds_name: str = ""
  builder: str = ""
  needs_archives: bool = False
  num_examples: int = 0
  num_classes: int = 0
  num_empty: int = 0
  may_lack_images: bool = False


_IMAGENET22K_SIZES = {"fall11": (14_197_122, 21_841), "winter21": (13_153_500, 19_167)}
DATASETS: dict[str, Dataset] = {
  "digits": Dataset(
    "train", "test", builder="hornet_jax.data.preparing.builders.digits.digits_dataset_builder"
  ),
  "shapes": Dataset(
    "train",
    "test",
    builder="hornet_jax.data.preparing.builders.shapes.shapes_dataset_builder",
    num_examples=500,
    num_classes=4,
  ),
  "ade20k": Dataset(
    "train",
    "validation",
    tfds_name="ade20k",
    needs_archives=True,
    num_examples=20_210,
    num_classes=150,
    may_lack_images=True,
  ),
  "coco": Dataset(
    "train",
    "validation",
    tfds_name="coco",
    needs_archives=True,
    num_examples=118_287,
    num_empty=1_021,
    num_classes=80,
    may_lack_images=True,
  ),
  "shapes_coco": Dataset(
    "train",
    "test",
    builder="hornet_jax.data.preparing.builders.shapes_coco.shapes_coco_dataset_builder",
    num_examples=500,
    num_classes=3,
  ),
  "cifar10": Dataset("train", "test", tfds_name="cifar10", num_examples=50_000, num_classes=10),
  "cifar100": Dataset("train", "test", tfds_name="cifar100", num_examples=50_000, num_classes=100),
  "fashion_mnist": Dataset(
    "train", "test", tfds_name="fashion_mnist", num_examples=60_000, num_classes=10
  ),
  "imagenet2012": Dataset(
    "train",
    "validation",
    tfds_name="imagenet2012",
    needs_archives=True,
    num_examples=1_281_167,
    num_classes=1000,
  ),
  **{
    f"imagenet22k/{build}": Dataset(
      "train",
      "train[:1%]",
      tfds_name=f"imagenet22k/{build}",
      needs_archives=True,
      num_examples=_IMAGENET22K_SIZES.get(build, (0, 0))[0],
      num_classes=_IMAGENET22K_SIZES.get(build, (0, 0))[1],
      may_lack_images=True,
    )
    for build in BUILDS
  },
  **{
    name: Dataset("", "test", tfds_name=eval_set.tfds_name, needs_archives=True)
    for name, eval_set in EVAL_SETS.items()
  },
  "imagenette": Dataset("train", "validation", tfds_name="imagenette/320px-v2"),
}


def get_dataset(name: str) -> Dataset:
  """Returns an entry of `DATASETS`; an `InputError` names the nearest where there is none."""
  if name not in DATASETS:
    raise unknown_name("dataset", name, DATASETS)
  return DATASETS[name]
