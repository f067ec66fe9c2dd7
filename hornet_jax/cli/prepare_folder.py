"""`prepare folder` makes a dataset of somebody's own images."""

import argparse

from etils import epath
from tabulate import tabulate

from hornet_jax.cli.own_dataset import tell_left_out, tell_split
from hornet_jax.data.pixels.pixel_format import MAX_PIXELS
from hornet_jax.data.preparing.folder import find_in_folders
from hornet_jax.data.preparing.found_images import FoundImages
from hornet_jax.data.preparing.labels import find_by_labels
from hornet_jax.data.preparing.own_images import OwnImages, check_and_split
from hornet_jax.data.preparing.prepare import check_name_is_free, prepare_folder, printable
from hornet_jax.errors import InputError
from hornet_jax.wording import counted

_CHANNELS_SHOWN = 16


def run_folder(args: argparse.Namespace) -> int:
  """Runs the command; its flags are those of `prepare`."""
  if not args.path or not args.name:
    raise InputError("`prepare folder` needs --path, of your images, and --name, of the dataset.")
  check_name_is_free(args.name, args.data_dir)
  images = check_and_split(
    _find(args),
    args.eval_fraction,
    channels=args.channels,
    max_value=args.max_value or 0.0,
    max_pixels=MAX_PIXELS if args.max_pixels is None else args.max_pixels,
  )
  path = prepare_folder(images, args.name, args.data_dir)
  _report(images, path, args.name)
  print(f"in {path}; to train on it: --config=finetune:dataset={args.name}")
  return 0


def _find(args: argparse.Namespace) -> FoundImages:
  if args.labels is None:
    return find_in_folders(args.path, args.eval_path)
  if args.eval_path is not None:
    raise InputError(
      "--eval_path is for class folders: expected none with --labels. Hint: a column `split` of "
      "the table says what is to be evaluated on."
    )
  return find_by_labels(args.path, args.labels)


def _report(images: OwnImages, path: epath.Path, name: str) -> None:
  """Prints the class balance, what the pixels are, and everything that is not used."""
  tell_split(images.rule, images.splits, name)
  counts = {split: images.counts(split) for split in images.splits}
  rows = [
    [printable(name), *(counts[split][k] for split in counts)]
    for k, name in enumerate(images.class_names)
  ]
  rows.append(["total", *(sum(counts[split]) for split in counts)])
  print(tabulate(rows, headers=["class", *counts], intfmt=",", disable_numparse=[0]))
  for split, of_split in counts.items():
    empty = [printable(images.class_names[k]) for k, count in enumerate(of_split) if count == 0]
    if empty:
      print(f"classes without an image in {split}: {', '.join(empty)}")
  if len(images.class_names) == 1:
    print("there is one class alone: nothing can be learned from it")
  info = images.image_info
  channels = counted(info.pixel_format.channels, "channel")
  print(f"{channels}, mean {_shown(info.mean)}, standard deviation {_shown(info.std)}")
  if images.is_dark:
    print(
      f"the brightest value of all images is {images.brightest} of 255: files of 10 to 14 bits in "
      "16 need --max_value, such as 4095 for 12"
    )
  if images.is_cut_off:
    print("nearly all values are the largest: a larger --max_value keeps what differs")
  if images.num_clipped:
    print(
      f"of {counted(images.num_clipped, 'file')} values below 0 or above the largest (--max_value, "
      "or that of the type) are cut off"
    )
  if images.num_of_pages:
    print(f"of {counted(images.num_of_pages, 'TIFF')} with several pages the first alone is read")
  tell_left_out(images.left_out, path)


def _shown(values: tuple[float, ...]) -> str:
  more = ", ..." if len(values) > _CHANNELS_SHOWN else ""
  return f"({', '.join(f'{value:.3f}' for value in values[:_CHANNELS_SHOWN])}{more})"
