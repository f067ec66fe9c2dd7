"""Prepares ImageNet and the sets around it from their archives."""

import importlib.util
import os
import pathlib
import tempfile

from etils import epath

from hornet_jax.data.datasets import find_prepared, resolve_data_dir
from hornet_jax.data.imagenet22k import find_archives, find_synsets
from hornet_jax.data.imagenet_archives import check_archives, check_space
from hornet_jax.data.imagenet_variants import VariantArchives
from hornet_jax.data.prepare import build
from hornet_jax.data.synsets import read_class_list
from hornet_jax.errors import InputError


def prepare_imagenet(
  archives: pathlib.Path, data_dir: str, *, partial: bool = False
) -> tuple[epath.Path, list[str]]:
  """Makes sure that imagenet2012 is prepared, from the published archives.

  Args:
    archives: folder of the two tar files.
    data_dir: where datasets are prepared.
    partial: whether they may hold fewer images than the published ones.

  Returns:
    The folder of the dataset's files, and what an interrupted build had left and is removed.

  Raises:
    InputError: if an archive is missing, is not whole or holds another number of images, the
      disk is too small or the build failed.
  """
  prepared = find_prepared("imagenet2012", data_dir)
  if prepared:
    return prepared, []
  target = resolve_data_dir(data_dir)
  removed = _remove_incomplete(target / "imagenet2012")
  check_archives(archives, target, partial=partial)
  path = build("imagenet2012", data_dir, "imagenet2012", os.fspath(archives.resolve()))
  return path, removed


def prepare_imagenet22k(
  name: str,
  archives: epath.Path,
  data_dir: str,
  classes: pathlib.Path | None = None,
  beam_options: str = "",
) -> tuple[epath.Path, list[str]]:
  """Makes sure that a build of ImageNet-22K is prepared; `left_out.txt` names what is not used.

  Args:
    name: such as `imagenet22k/winter21`.
    archives: folder of one tar a synset, or one tar of everything.
    data_dir: where datasets are prepared.
    classes: text file of the synsets to keep; None for all that the archives hold, which
      one tar of everything takes a pass of its own to tell.
    beam_options: flags of Apache Beam, which then builds it from a folder of tars, such as
      `--runner=DirectRunner --direct_running_mode=multi_processing --direct_num_workers=8`; empty
      to build it in one process.

  Returns:
    As `prepare_imagenet`.

  Raises:
    InputError: if archives or class list are missing or broken, the disk is too small, Apache
      Beam is asked for and not there, or the build failed.
  """
  prepared = find_prepared(name, data_dir)
  if prepared:
    return prepared, []
  if name.endswith("/processed") and classes is None:
    raise InputError(
      "`classes` must name the synsets of the processed build: expected --classes=FILE with the "
      "10,450 of arXiv 2104.10972, one a line, got none."
    )
  target = resolve_data_dir(data_dir)
  if "://" not in os.fspath(archives):
    archives = archives.resolve()
  files = find_archives(archives, on_beam=bool(beam_options))
  if beam_options:
    _check_beam(beam_options)
  check_space(files, target)
  removed = _remove_incomplete(target / name)
  class_names = read_class_list(classes) if classes else find_synsets(files)
  if not class_names:
    raise InputError(f"`archives` must hold images of synsets: found none in {archives}.")
  with tempfile.TemporaryDirectory() as temporary:
    file = pathlib.Path(temporary) / "classes.txt"
    file.write_text("\n".join(class_names))
    arguments = (os.fspath(archives), name.partition("/")[2], os.fspath(file), beam_options)
    path = build(name, data_dir, "imagenet22k", *arguments)
  return path, removed


def _check_beam(options: str) -> None:
  if not options.startswith("--"):
    raise InputError(
      "`beam_options` must be flags of Apache Beam: expected such as --runner=DirectRunner "
      f"--direct_num_workers=8, got {options!r}."
    )
  if importlib.util.find_spec("apache_beam") is None:
    raise InputError(
      "`beam_options` needs Apache Beam, which is not installed. Hint: it is the extra `beam`, "
      "for an environment of its own since it needs older libraries: pip install '.[beam]'."
    )


def prepare_imagenet_variant(
  name: str, archives: pathlib.Path, data_dir: str, *, partial: bool = False
) -> tuple[epath.Path, list[str]]:
  """Makes sure that an evaluation set around ImageNet is prepared, from its archives.

  Args:
    name: in `VARIANTS`.
    archives: see `VariantArchives`.
    data_dir: where datasets are prepared.
    partial: whether they may hold fewer images than the published ones.

  Returns:
    As `prepare_imagenet`.

  Raises:
    InputError: if archives are missing, broken or hold another number of images, the disk is too
      small or the build failed.
  """
  prepared = find_prepared(name, data_dir)
  if prepared:
    return prepared, []
  target = resolve_data_dir(data_dir)
  source = VariantArchives(name, archives.resolve())
  check_space(source.files(), target)
  source.check_count(partial=partial)
  removed = _remove_incomplete(target / source.variant.tfds_name)
  path = build(name, data_dir, "imagenet_variant", name, os.fspath(archives.resolve()))
  return path, removed


def _remove_incomplete(folder: epath.Path) -> list[str]:
  """Deletes the folders that TFDS builds in; it cannot go on in them."""
  found = sorted(folder.glob("*incomplete*")) if folder.exists() else []
  for path in found:
    path.rmtree()
  return [os.fspath(path) for path in found]
