"""`prepare imagenet2012`, `ade20k`, `coco` and others make datasets of archives, or generated."""

import argparse
import pathlib
import tempfile

from etils import epath

from hornet_jax.data.datasets import find_prepared
from hornet_jax.data.preparing.coco.generated_coco import write_coco_folder
from hornet_jax.data.preparing.coco.prepare_coco import COCO, check_coco_counts, prepare_coco
from hornet_jax.data.preparing.from_archives import Prepared, generated_note, is_generated
from hornet_jax.data.preparing.imagenet.eval_archives import EVAL_SETS
from hornet_jax.data.preparing.imagenet.generated import (
  write_eval_archives,
  write_imagenet22k_archives,
  write_imagenet_archives,
)
from hornet_jax.data.preparing.imagenet.imagenet22k import BUILDS
from hornet_jax.data.preparing.imagenet.prepare_imagenet import (
  check_imagenet_counts,
  prepare_eval_set,
  prepare_imagenet,
  prepare_imagenet22k,
)
from hornet_jax.data.preparing.left_out import LEFT_OUT
from hornet_jax.data.preparing.masks.generated_ade20k import write_ade20k_folder
from hornet_jax.data.preparing.masks.prepare_ade20k import (
  ADE20K,
  check_ade20k_counts,
  prepare_ade20k,
)
from hornet_jax.data.preparing.prepare import prepare
from hornet_jax.errors import InputError
from hornet_jax.paths import absolute

IMAGENET_22K = tuple(f"imagenet22k/{build}" for build in BUILDS)
"""The names of ImageNet-22K's builds."""

_NAMED_AT_MOST = 20


def run_archives(args: argparse.Namespace) -> epath.Path:
  """Prepares such a dataset, tells what there is to tell, and returns the folder of its files."""
  if args.generated and (args.archives or not args.data_dir):
    raise InputError(
      "--generated needs a --data_dir of its own and no --archives: nobody should take its images "
      f"for {_meant(args.dataset)}."
    )
  path = find_prepared(args.dataset, args.data_dir)
  if path:
    prepared = Prepared(path, existed=True)
  elif args.generated:
    with tempfile.TemporaryDirectory() as temporary:
      _write_archives(args.dataset, pathlib.Path(temporary))
      prepared = _from_archives(args, epath.Path(temporary))
  elif args.archives:
    prepared = _from_archives(args, absolute(args.archives))
  else:
    prepared = Prepared(prepare(args.dataset, args.data_dir), existed=True)
  if prepared.existed:
    _check_existing(args, prepared.path)
  _report(prepared, _meant(args.dataset))
  return prepared.path


def _check_existing(args: argparse.Namespace, path: epath.Path) -> None:
  """Tells which flags are not used as the dataset exists; raises `InputError` if it is partial."""
  generated = is_generated(path)
  real_is_wanted = bool(args.archives) or not generated
  if real_is_wanted and not args.partial and not args.generated:
    if args.dataset == ADE20K:
      check_ade20k_counts(path)
    elif args.dataset == COCO:
      check_coco_counts(path)
    else:
      check_imagenet_counts(args.dataset, path)
  unread = [f"--{key}" for key in ("archives", "classes", "beam_options") if getattr(args, key)]
  if unread:
    print(f"already prepared in {path}: {', '.join(unread)} not read")
  if args.generated and not generated:
    print(f"already prepared in {path}, not from generated images: --generated not used")


def _report(prepared: Prepared, what: str) -> None:
  if is_generated(prepared.path):
    print(generated_note(what))
  for folder in prepared.removed:
    print(f"removed what an interrupted build left in {folder}")
  left_out = prepared.path / LEFT_OUT
  if left_out.exists() and (lines := left_out.read_text().splitlines()):
    print(f"left out, {len(lines):,} in all, every one named in {left_out}:")
    for line in lines[:_NAMED_AT_MOST]:
      print(f"  {line.replace(chr(9), ': ')}")


def _write_archives(dataset: str, folder: pathlib.Path) -> None:
  if dataset in EVAL_SETS:
    write_eval_archives(dataset, folder)
  elif dataset == ADE20K:
    write_ade20k_folder(folder)
  elif dataset == COCO:
    write_coco_folder(folder)
  elif dataset == "imagenet2012":
    write_imagenet_archives(folder)
  else:
    write_imagenet22k_archives(folder)


def _from_archives(args: argparse.Namespace, archives: epath.Path) -> Prepared:
  generated = bool(args.generated)
  if args.dataset in IMAGENET_22K:
    beam = args.beam_options or ""
    return prepare_imagenet22k(
      args.dataset, archives, args.data_dir, args.classes, beam, generated=generated
    )
  local, partial = pathlib.Path(archives), bool(args.partial) or generated
  options = {"partial": partial, "generated": generated}
  if args.dataset == ADE20K:
    return prepare_ade20k(local, args.data_dir, **options)
  if args.dataset == COCO:
    return prepare_coco(local, args.data_dir, **options)
  if args.dataset == "imagenet2012":
    return prepare_imagenet(local, args.data_dir, **options)
  return prepare_eval_set(args.dataset, local, args.data_dir, **options)


def _meant(dataset: str) -> str:
  """Names in messages what generated images are not."""
  return {ADE20K: "ADE20K", COCO: "COCO"}.get(dataset, "ImageNet")
