"""This module finds images and their masks as they lie on somebody's disk."""

import pathlib

from hornet_jax.data.preparing.masks.find_cityscapes import find_cityscapes, is_cityscapes
from hornet_jax.data.preparing.masks.found_pairs import FoundPairs, join_pairs, list_splits
from hornet_jax.errors import InputError

_IMAGES = ("images", "image", "imgs")
_MASKS = ("masks", "annotations", "labels", "mask")


def find_pairs(path: pathlib.Path) -> FoundPairs:
  """Finds the pairs of a folder.

  Either `path/images/SPLIT/...` with `path/masks/SPLIT/...` (or `annotations`, or `labels`), see
  `find_in_two_folders`, or those of Cityscapes, see `find_cityscapes`.

  Args:
    path: path of the folder.

  Raises:
    InputError: if it has neither, or folders of images and masks do not fit.
  """
  if not path.is_dir():
    raise InputError(f"`path` must be a folder of images and masks: {path} is none.")
  if is_cityscapes(path):
    return find_cityscapes(path)
  images, masks = (
    [path / name for name in names if (path / name).is_dir()] for names in (_IMAGES, _MASKS)
  )
  if len(images) != 1 or len(masks) != 1:
    found = ", ".join(entry.name for entry in [*images, *masks]) or "none of them"
    raise InputError(
      "`path` must hold one folder `images` and one `masks`, `annotations` or `labels`, or "
      f"Cityscapes' `leftImg8bit` and `gtFine`: got {found} in {path}. Hint: --images=FOLDER and "
      "--masks=FOLDER name any two."
    )
  found_pairs = find_in_two_folders(images[0], masks[0])
  beside = [entry for entry in sorted(path.iterdir()) if entry not in (images[0], masks[0])]
  found_pairs.left_out.update(dict.fromkeys(beside, "beside the images and masks"))
  return found_pairs


def find_in_two_folders(images: pathlib.Path, masks: pathlib.Path) -> FoundPairs:
  """Finds pairs in a folder of images and one of masks, by the same path but for the ending.

  Where the folders hold folders with the names of splits, `train` and `val` or `test`, these make
  the split. Whatever is hidden is left out, links are followed.

  Args:
    images: path of the folder of images.
    masks: path of the folder of masks.

  Raises:
    InputError: if one is no folder, one lies in the other, or no image has a mask.
  """
  for key, folder in (("images", images), ("masks", masks)):
    if not folder.is_dir():
      raise InputError(f"`{key}` must be a folder: {folder} is none.")
  if any(a.samefile(b) for a, c in ((images, masks), (masks, images)) for b in (c, *c.parents)):
    raise InputError(
      f"`images` and `masks` must be two folders, none in the other: got {images} and {masks}."
    )
  left_out: dict[pathlib.Path, str] = {}
  of_images, of_masks = list_splits(images, left_out), list_splits(masks, left_out)
  return join_pairs(images, of_images, of_masks, left_out)
