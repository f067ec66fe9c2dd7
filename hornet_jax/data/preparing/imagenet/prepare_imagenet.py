"""This module prepares ImageNet and the sets around it from their archives."""

import importlib.util
import os
import pathlib
import tempfile

from etils import epath

from hornet_jax.data.datasets import find_prepared, resolve_data_dir
from hornet_jax.data.preparing.from_archives import Prepared, build_from_archives, check_counts
from hornet_jax.data.preparing.imagenet.eval_archives import EVAL_SETS, EvalArchives
from hornet_jax.data.preparing.imagenet.imagenet22k import find_archives, find_synsets
from hornet_jax.data.preparing.imagenet.imagenet_archives import (
  NUM_IMAGES,
  check_archives,
  check_space,
)
from hornet_jax.data.preparing.imagenet.synsets import read_class_list
from hornet_jax.errors import InputError


def prepare_imagenet(
  archives: pathlib.Path, data_dir: str, *, partial: bool = False, generated: bool = False
) -> Prepared:
  """Makes sure that imagenet2012 is prepared, from the published archives.

  Args:
    archives: folder of the two tar files.
    data_dir: folder where datasets are prepared.
    partial: whether they may hold fewer images than the published ones.
    generated: whether the images are made up.

  Raises:
    InputError: if an archive is missing, is not whole or holds another number of images, the
      disk is too small, another process builds the dataset or the build failed.
  """
  name = "imagenet2012"
  if path := find_prepared(name, data_dir):
    return Prepared(path, existed=True)
  check_archives(archives, resolve_data_dir(data_dir), partial=partial)
  return build_from_archives(name, data_dir, name, os.fspath(archives), generated=generated)


def prepare_imagenet22k(
  name: str,
  archives: epath.Path,
  data_dir: str,
  classes: pathlib.Path | None = None,
  beam_options: str = "",
  *,
  generated: bool = False,
) -> Prepared:
  """Makes sure that a build of ImageNet-22K is prepared; `left_out.txt` names what is not used.

  Args:
    name: name of the dataset, such as `imagenet22k/winter21`.
    archives: folder of one tar a synset, or one tar of everything.
    data_dir: folder where datasets are prepared.
    classes: text file of the synsets to keep; None for all that the archives hold, which
      one tar of everything takes a pass of its own to tell.
    beam_options: flags of Apache Beam, which then builds it from a folder of tars, such as
      `--runner=DirectRunner --direct_running_mode=multi_processing --direct_num_workers=8`; empty
      to build it in one process.
    generated: whether the archives are made up.

  Raises:
    InputError: if archives or class list are missing or broken, the disk is too small, Apache
      Beam is asked for and not there, another process builds the dataset or the build failed.
  """
  if path := find_prepared(name, data_dir):
    return Prepared(path, existed=True)
  if name.endswith("/processed") and classes is None:
    raise InputError(
      "`classes` must name the synsets of the processed build: expected --classes=FILE with the "
      "10,450 of arXiv 2104.10972, one a line, got none."
    )
  target = resolve_data_dir(data_dir)
  files = find_archives(archives, on_beam=bool(beam_options))
  if beam_options:
    _check_beam(beam_options)
  check_space(files, target)
  class_names = read_class_list(classes) if classes else find_synsets(files)
  if not class_names:
    raise InputError(f"`archives` must hold images of synsets: found none in {archives}.")
  with tempfile.TemporaryDirectory() as temporary:
    file = pathlib.Path(temporary) / "classes.txt"
    file.write_text("\n".join(class_names))
    arguments = (os.fspath(archives), name.partition("/")[2], os.fspath(file), beam_options)
    return build_from_archives(name, data_dir, "imagenet22k", *arguments, generated=generated)


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


def prepare_eval_set(
  name: str,
  archives: pathlib.Path,
  data_dir: str,
  *,
  partial: bool = False,
  generated: bool = False,
) -> Prepared:
  """Makes sure that an evaluation set around ImageNet is prepared, from its archives.

  Args:
    name: name in `EVAL_SETS`.
    archives: path of the archives, see `EvalArchives`.
    data_dir: folder where datasets are prepared.
    partial: whether they may hold fewer images than the published ones.
    generated: whether the images are made up.

  Raises:
    InputError: if archives are missing, broken or hold another number of images, the disk is too
      small, another process builds the dataset or the build failed.
  """
  if path := find_prepared(name, data_dir):
    return Prepared(path, existed=True)
  source = EvalArchives(name, archives)
  check_space(source.files(), resolve_data_dir(data_dir))
  source.check_count(partial=partial)
  arguments = (name, os.fspath(archives))
  return build_from_archives(name, data_dir, "eval_set", *arguments, generated=generated)


def check_imagenet_counts(name: str, path: epath.Path) -> None:
  """Raises `InputError` unless a prepared dataset has as many images as the published one.

  Args:
    name: name of the dataset; of ImageNet-22K no numbers are known.
    path: folder of its files.
  """
  known = {"test": EVAL_SETS[name].num_images} if name in EVAL_SETS else {}
  check_counts(name, path, NUM_IMAGES if name == "imagenet2012" else known)
