"""This module builds ImageNet-22K as a TFDS dataset, in one process or on Apache Beam."""

from collections.abc import Iterator, Sequence, Set
from typing import Any

import tensorflow_datasets as tfds
from etils import epath

from hornet_jax.data.preparing.imagenet.imagenet22k import (
  BUILDS,
  ArchivedImage,
  Report,
  add_up,
  find_archives,
  read_images,
)
from hornet_jax.data.preparing.left_out import LEFT_OUT, left_out_text
from hornet_jax.errors import InputError

_CITATION = """
@inproceedings{deng2009imagenet,
  title={{ImageNet}: A large-scale hierarchical image database},
  author={Deng, Jia and Dong, Wei and Socher, Richard and Li, Li-Jia and Li, Kai and Fei-Fei, Li},
  booktitle={CVPR},
  year={2009}
}
"""


class Builder(tfds.core.GeneratorBasedBuilder):
  """`Builder` reads the archives image by image and stores the images byte by byte.

  The caller gives the classes, as their number depends on the archives. A prepared dataset is read
  without archives and classes.
  """

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES: dict[str, str] = {"1.0.0": "One split, `train`."}  # noqa: RUF012
  BUILDER_CONFIGS = [  # noqa: RUF012
    tfds.core.BuilderConfig(name=name, description=f"ImageNet-22K, {what}.")
    for name, what in BUILDS.items()
  ]

  def __init__(
    self,
    *,
    archives: epath.PathLike | None = None,
    class_names: Sequence[str] = (),
    on_beam: bool = False,
    **kwargs: Any,
  ):
    """Makes a builder, as `tfds.builder("imagenet22k/winter21", archives=..., ...)` does.

    Args:
      archives: path of the archives, see `find_archives`.
      class_names: synsets, in the order of the labels.
      on_beam: whether Apache Beam builds the dataset, on the runner of the `DownloadConfig`. Its
        workers need this package, and archives and `data_dir` that all of them reach.
      **kwargs: arguments of TFDS.
    """
    self._archives = archives
    self._class_names = list(class_names)
    self._on_beam = on_beam
    super().__init__(**kwargs)
    # From this TFDS makes the copy in another process.
    self._original_state = {
      "archives": archives,
      "class_names": self._class_names,
      "on_beam": on_beam,
      **kwargs,
    }

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      description="Photographs of WordNet's nouns: the classes that its archives or a list name.",
      citation=_CITATION,
      homepage="https://image-net.org",
      features=tfds.features.FeaturesDict(
        {
          "image": tfds.features.Image(),
          "label": tfds.features.ClassLabel(names=self._class_names or None),
          "file_name": tfds.features.Text(),
        }
      ),
      supervised_keys=("image", "label"),
    )

  def _split_generators(self, dl_manager):
    if self._archives is None or not self._class_names:
      raise InputError(
        "`archives` and `class_names` must be given to build ImageNet-22K: expected a folder of "
        f"tars and synsets, got {self._archives} and {len(self._class_names)} synsets."
      )
    archives = find_archives(epath.Path(self._archives), self._on_beam)
    generate = self._beam_examples if self._on_beam else self._generate_examples
    return {"train": generate(archives, frozenset(self._class_names))}

  def _generate_examples(self, archives, class_names):
    reports = [Report() for _ in archives]
    for archive, report in zip(archives, reports, strict=True):
      for image in read_images(archive, class_names, report):
        yield _example(image)
    _write_left_out(reports, class_names, self.data_path)

  def _beam_examples(self, archives, class_names):
    """Returns the examples as a transform of Beam, which gives each worker an archive at a time."""
    import apache_beam as beam

    folder = self.data_path

    @beam.ptransform_fn
    def read(pipeline):
      found = (
        pipeline
        | beam.Create(archives)
        | beam.Reshuffle()  # else a runner may leave them all to one worker
        | beam.FlatMap(_read, class_names).with_outputs("report", main="examples")
      )
      # Gathered on one worker and written beside the shards, as TFDS does with their lengths.
      _ = found.report | beam.combiners.ToList() | beam.Map(_write_left_out, class_names, folder)
      return found.examples

    return read()


# What workers run is outside the class: the builder does not travel to them.


def _example(image: ArchivedImage) -> tuple[str, dict[str, Any]]:
  key = f"{image.synset}/{image.name}"
  return key, {"image": image.content, "label": image.synset, "file_name": key}


def _read(archive: epath.Path, class_names: Set[str]) -> Iterator[Any]:
  """Yields the examples of an archive, then its report."""
  import apache_beam as beam

  report = Report()
  for image in read_images(archive, class_names, report):
    yield _example(image)
  yield beam.pvalue.TaggedOutput("report", report)


def _write_left_out(reports: Sequence[Report], class_names: Set[str], folder: epath.Path) -> None:
  (folder / LEFT_OUT).write_text(left_out_text(add_up(reports, class_names)))
