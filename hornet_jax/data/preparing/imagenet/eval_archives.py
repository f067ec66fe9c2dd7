"""This module reads the evaluation sets around ImageNet-1K out of their published archives."""

import collections
import dataclasses
import functools
import pathlib
import re
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator

from tqdm import tqdm

from hornet_jax.data.imagenet_classes import synsets
from hornet_jax.data.preparing.archive_members import OUTSIDE, leads_outside, tar_reader
from hornet_jax.data.preparing.left_out import escaped
from hornet_jax.errors import InputError

CORRUPTIONS = (
  "gaussian_noise",
  "shot_noise",
  "impulse_noise",
  "defocus_blur",
  "glass_blur",
  "motion_blur",
  "zoom_blur",
  "snow",
  "frost",
  "fog",
  "brightness",
  "contrast",
  "elastic_transform",
  "pixelate",
  "jpeg_compression",
)
"""Those of ImageNet-C that its score counts. Source: arXiv 1903.12261, section 4."""

SEVERITIES = (1, 2, 3, 4, 5)
_CLASS = r"(?P<label>n\d{8})"
_SUFFIXES = (".jpeg", ".jpg", ".png")


@dataclasses.dataclass(frozen=True)
class EvalSet:
  """An `EvalSet` describes an evaluation set whose classes are among the 1,000.

  Attributes:
    archives: names of its files as published.
    num_images: number of images in all of them.
    homepage: address of its authors' page.
    tfds_name: name of the prepared dataset, that of TFDS where TFDS knows it.
    layout: pattern of the folders that an image lies in; `label` is a synset, or the number
      of a class.
  """

  archives: tuple[str, ...]
  num_images: int
  homepage: str
  tfds_name: str
  layout: str = _CLASS


EVAL_SETS = {
  # Folders are synsets, or numbers from 0 on: "10" comes before "2" where names are sorted.
  # Source: arXiv 1902.10811.
  "imagenet_v2": EvalSet(
    ("imagenetv2-matched-frequency.tar.gz",),
    10_000,
    "https://github.com/modestyachts/ImageNetV2",
    "imagenet_v2/matched-frequency",
    layout=r"(?P<label>n\d{8}|\d{1,3})",
  ),
  # Source: arXiv 1907.07174.
  "imagenet_a": EvalSet(
    ("imagenet-a.tar",),
    7_500,
    "https://github.com/hendrycks/natural-adv-examples",
    "imagenet_a",
  ),
  # Source: arXiv 2006.16241.
  "imagenet_r": EvalSet(
    ("imagenet-r.tar",), 30_000, "https://github.com/hendrycks/imagenet-r", "imagenet_r"
  ),
  # Source: arXiv 1905.13549.
  "imagenet_sketch": EvalSet(
    ("ImageNet-Sketch.zip",),
    50_889,
    "https://github.com/HaohanWang/ImageNet-Sketch",
    "imagenet_sketch",
  ),
  # Source: arXiv 1903.12261; extra.tar holds corruptions that its score does not count.
  "imagenet_c": EvalSet(
    ("noise.tar", "blur.tar", "weather.tar", "digital.tar"),
    50_000 * len(CORRUPTIONS) * len(SEVERITIES),
    "https://github.com/hendrycks/robustness",
    "imagenet_c",
    layout=rf"(?P<corruption>{'|'.join(CORRUPTIONS)})/(?P<severity>[1-5])/{_CLASS}",
  ),
}


@dataclasses.dataclass(frozen=True)
class EvalImage:
  """An `EvalImage` is one image of an archive.

  Attributes:
    label: number of its class among the 1,000.
    name: path of the file from the last folders on, such as
      `fog/3/n01440764/ILSVRC2012_val_00000293.JPEG`.
    read: function that returns its encoded bytes; it must be called before the next image is asked
      for, as archives are read in their order.
  """

  label: int
  name: str
  read: Callable[[], bytes]


class EvalArchives:
  """`EvalArchives` reads the images of one evaluation set, and names every file that is not used.

  Attributes:
    eval_set: description of what the archives should hold.
    left_out: name in the archives of each file that is not used, and the reason.
  """

  def __init__(self, name: str, path: pathlib.Path):
    """Finds the archives.

    Args:
      name: name in `EVAL_SETS`.
      path: path of one archive (tar or zip), a folder of the published ones, or an unpacked folder.

    Raises:
      InputError: if nothing is there, or some of the published archives are missing.
    """
    self.eval_set = EVAL_SETS[name]
    self.left_out: list[tuple[str, str]] = []
    self._name = name
    self._layout = re.compile(rf"(?:.*/)?(?P<name>{self.eval_set.layout}/[^/]+)")
    self._class_numbers = {synset: k for k, synset in enumerate(synsets())}
    self._sources = self._find(path)

  def files(self) -> list[pathlib.Path]:
    """Returns the archives; none where they are unpacked."""
    return [source for source in self._sources if source.is_file()]

  def check_count(self, *, partial: bool) -> None:
    """Raises `InputError` unless the archives hold as many images as the published ones.

    Args:
      partial: whether fewer images are enough.
    """
    found, expected = sum(1 for _ in self.images()), self.eval_set.num_images
    self.left_out.clear()  # filled again when the images are read
    if found == 0 or (found != expected and not partial):
      raise InputError(
        f"`archives` must hold the {expected:,} images of {self._name}: got {found:,}. Hint: "
        f"{' and '.join(self.eval_set.archives)} of {self.eval_set.homepage}; --partial where "
        "fewer are meant."
      )

  def images(self) -> Iterator[EvalImage]:
    """Yields every image, in the order of the archives."""
    # Corruptions share the names of their files: 0.2 GB for the 3,750,000 of ImageNet-C.
    known: dict[str, set[str]] = collections.defaultdict(set)
    for source in self._sources:
      try:
        for name, read in tqdm(_members(source), source.name, unit="file", disable=None):
          image = self._image(name, read, known)
          if isinstance(image, EvalImage):
            yield image
          else:
            self.left_out.append((f"{source.name}/{name}", image))
      except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise InputError(
          f"{source} must be a whole tar or zip archive: {error}. Hint: download it again."
        ) from error

  def _find(self, path: pathlib.Path) -> list[pathlib.Path]:
    published = [path / name for name in self.eval_set.archives]
    missing = [file.name for file in published if not file.is_file()]
    if path.is_file() or (path.is_dir() and len(missing) == len(published)):
      return [path]
    if missing:
      raise InputError(
        f"`archives` must hold {' and '.join(self.eval_set.archives)}, or what they unpack to: "
        f"{', '.join(missing)} not in {path}. Hint: they are at {self.eval_set.homepage}."
      )
    return published

  def _image(
    self, name: str, read: Callable[[], bytes] | None, known: dict[str, set[str]]
  ) -> EvalImage | str:
    """Returns the image, or why it is not used; adds it to those that are known, by folder."""
    path = pathlib.PurePosixPath(name)
    if read is None:
      return OUTSIDE
    match = self._layout.fullmatch(path.as_posix())
    if match is None or path.suffix.lower() not in _SUFFIXES or path.name.startswith("."):
      return "no image in a folder of its class"
    folder = match["label"]
    label = int(folder) if folder.isdecimal() else self._class_numbers.get(folder)
    if label is None:
      return "of another class"
    image = EvalImage(label, escaped(match["name"]), read)
    parent, _, file_name = image.name.rpartition("/")
    if file_name in known[parent]:
      return "a duplicate, by name"
    known[parent].add(sys.intern(file_name))
    return image


def _members(source: pathlib.Path) -> Iterator[tuple[str, Callable[[], bytes] | None]]:
  """Yields name and reader of all that is no folder; no reader where it must not be read."""
  if source.is_dir():
    for path in sorted(source.rglob("*")):
      if not path.is_dir():
        yield path.relative_to(source).as_posix(), path.read_bytes if path.is_file() else None
  elif zipfile.is_zipfile(source):
    with zipfile.ZipFile(source) as archive:
      for info in archive.infolist():
        if not info.is_dir():
          read = functools.partial(archive.read, info)
          yield info.filename, None if leads_outside(info.filename) else read
  else:
    with tarfile.open(source) as tar:
      for member in tar:
        if not member.isdir():
          yield member.name, tar_reader(tar, member)


def corruption_of(file_name: str) -> int:
  """Returns one number for the corruption and the severity of an image of ImageNet-C.

  Args:
    file_name: name as in `EvalImage.name`.

  Returns:
    5 times the number in `CORRUPTIONS`, plus the number in `SEVERITIES`.
  """
  corruption, severity, *_ = file_name.split("/")
  return CORRUPTIONS.index(corruption) * len(SEVERITIES) + SEVERITIES.index(int(severity))
