"""This module reads every image and mask once, before a dataset is built of them."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from hornet_jax.data.pixels.decode import UndecodableImageError, is_turned
from hornet_jax.data.preparing.masks.class_table import ClassTable
from hornet_jax.data.preparing.masks.found_pairs import Pair
from hornet_jax.data.preparing.masks.read_pair import read_pair
from hornet_jax.data.threads import thread_pool

_THREADS = 4


@dataclasses.dataclass(frozen=True)
class PairFinding:
  """These are the findings on an image and its mask.

  Attributes:
    size: height and width in pixels.
    pixels: number in the mask -> how many pixels have it.
    is_turned: whether the EXIF data of the image turn it.
  """

  size: tuple[int, int]
  pixels: dict[int, int]
  is_turned: bool


def check_pairs(
  pairs: Sequence[Pair], table: ClassTable | None
) -> tuple[dict[Pair, PairFinding], dict[pathlib.Path, str]]:
  """Reads all pairs.

  Args:
    pairs: images and masks.
    table: table of the classes; None where they are the values that are found.

  Returns:
    The findings on each pair with which nothing is wrong, and each file of the others with the
    reason.
  """
  with thread_pool(_THREADS) as pool:
    checks = pool.imap(functools.partial(_check, table), pairs, chunksize=16)  # in order
    shown = tqdm(checks, "checking", len(pairs), unit="pair", disable=None)
    found = dict(zip(pairs, shown, strict=True))
  wrong: dict[pathlib.Path, str] = {}
  for (image, mask), result in found.items():
    if isinstance(result, str):
      of_mask = result.startswith("the mask")
      wrong[mask if of_mask else image] = result
      wrong[image if of_mask else mask] = f"its {'mask' if of_mask else 'image'} is left out"
  fine = {pair: result for pair, result in found.items() if not isinstance(result, str)}
  return fine, wrong


def _read_mask(file: pathlib.Path) -> bytes:
  try:
    return file.read_bytes()
  except OSError as error:
    raise UndecodableImageError(f"the mask: {error.strerror}") from error


def _check(table: ClassTable | None, pair: Pair) -> PairFinding | str:
  """Returns the findings on a pair, or what is wrong with it."""
  colours = bool(table and table.colours)
  try:
    image = pair[0].read_bytes()
    codes = read_pair(image, _read_mask(pair[1]), colours=colours)
    if table:
      table.look_up(codes)
  except (OSError, UndecodableImageError) as error:
    return str(error)
  if colours:
    numbers, counts = np.unique(codes, return_counts=True)
  else:  # several times as fast
    of_number = np.bincount(codes.ravel())
    numbers = of_number.nonzero()[0]
    counts = of_number[numbers]
  pixels = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
  return PairFinding((codes.shape[0], codes.shape[1]), pixels, is_turned(image))
