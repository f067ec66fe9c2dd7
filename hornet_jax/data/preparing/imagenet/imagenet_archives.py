"""This module checks the archives of ImageNet-1K before hours are spent on them."""

import pathlib
import shutil
import tarfile
from collections.abc import Sequence

from etils import epath
from tqdm import tqdm

from hornet_jax.errors import InputError
from hornet_jax.paths import file_size, in_object_store

TRAIN_ARCHIVE = "ILSVRC2012_img_train.tar"
VALIDATION_ARCHIVE = "ILSVRC2012_img_val.tar"
NUM_IMAGES = {"train": 1_281_167, "validation": 50_000}
"""Split -> its images. Source: arXiv 1409.0575, table 2."""

_COUNTS = {TRAIN_ARCHIVE: NUM_IMAGES["train"], VALIDATION_ARCHIVE: NUM_IMAGES["validation"]}
# The prepared files hold the same bytes; while they are shuffled, as many again lie beside.
_SPACE = 2


def check_archives(folder: pathlib.Path, target: epath.Path, *, partial: bool) -> None:
  """Raises `InputError` where the archives cannot be made into the dataset.

  Args:
    folder: folder of the archives.
    target: folder where the dataset is going to lie.
    partial: whether archives may hold fewer images than the published ones.
  """
  missing = [name for name in _COUNTS if not (folder / name).is_file()]
  if missing:
    raise InputError(
      f"`archives` must hold {' and '.join(_COUNTS)}: {', '.join(missing)} not in {folder}. "
      "Hint: image-net.org gives them to who agrees to its terms."
    )
  check_space([folder / name for name in _COUNTS], target)
  for name, count in _COUNTS.items():
    found = _count_images(folder / name)
    if found != count and not partial:
      raise InputError(
        f"{folder / name} must hold {count:,} images: got {found:,}. Hint: download it again, or "
        "say --partial where that is meant."
      )


def check_space(archives: Sequence[epath.PathLike], target: epath.Path) -> None:
  """Raises `InputError` where the disk has no room for the dataset made of the archives."""
  local = pathlib.Path(target)
  existing = next((p for p in (local, *local.parents) if p.exists()), None)
  if in_object_store(target) or existing is None:
    return  # an object store has no end
  needed = _SPACE * sum(file_size(archive) for archive in archives)
  free = shutil.disk_usage(existing).free
  if free < needed:
    raise InputError(
      f"`data_dir` must have room for the dataset and as much again while it is shuffled: expected "
      f"{needed / 1e9:.1f} GB at {existing}, got {free / 1e9:.1f} GB. Hint: choose another "
      "--data_dir."
    )


def _count_images(archive: pathlib.Path) -> int:
  """Counts the files in an archive, and in the archives within; reads names alone."""
  count = 0
  try:
    with tarfile.open(archive) as outer:
      for member in tqdm(outer, f"counting {archive.name}", unit="file", disable=None):
        if member.name.endswith(".tar"):
          with tarfile.open(fileobj=outer.extractfile(member)) as inner:
            count += sum(1 for image in inner if image.isfile())
        elif member.isfile():
          count += 1
  except (tarfile.TarError, EOFError, OSError) as error:
    raise InputError(
      f"{archive} must be a whole tar archive: {error}. Hint: download it again."
    ) from error
  return count
