"""This module finds the image files that a person means by paths, folders and patterns."""

import glob
import os
import pathlib
from collections.abc import Sequence

from PIL import Image

from hornet_jax.errors import InputError
from hornet_jax.paths import expanded


def find_images(places: Sequence[str]) -> list[str]:
  """Lists image files, in the order of `places`; those of a folder are sorted.

  Args:
    places: paths of files, which are taken as they are, folders, which are searched through for
      names that Pillow knows the endings of and `.npy`, or patterns such as `"photos/*.jpg"`.

  Raises:
    InputError: if a folder holds no image or a pattern fits nothing.
  """
  return [image for place in places for image in _find(os.fspath(expanded(place, "IMAGE")))]


def _find(place: str) -> list[str]:
  path = pathlib.Path(place)
  if path.is_dir():
    suffixes = {
      suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN
    } | {".npy"}
    found = sorted(
      os.fspath(file)
      for file in path.rglob("*")
      if file.suffix.lower() in suffixes
      and file.is_file()
      and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
  elif glob.has_magic(place) and not path.exists():
    found = sorted(name for name in glob.glob(place, recursive=True) if os.path.isfile(name))
  else:
    return [place]
  if not found:
    raise InputError(
      f"`IMAGE` must be image files, folders of them or patterns: found no image in {place!r}."
    )
  return found
