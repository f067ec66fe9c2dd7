"""What a file is, whatever its name says: for errors that name it."""

import io
import os
import zipfile

from etils import epath
from PIL import Image

_READ = 1 << 16  # bytes


def file_kind(place: str | os.PathLike[str]) -> str:
  """Describes a file by its first bytes, such as `"a PNG image"`.

  Args:
    place: path of anything; what cannot be read is a file of a kind that is not known.
  """
  path = epath.Path(place)
  if path.is_dir():
    return "a folder"
  try:
    with path.open("rb") as file:
      start = file.read(_READ)
  except OSError:
    return "a file that cannot be read"
  if not start:
    return "an empty file"
  if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 30:
    return "a safetensors file"
  if start.startswith(b"\x89HDF"):
    return "an HDF5 file"
  if start.startswith(b"\x93NUMPY"):
    return "a NumPy file"
  if start.startswith(b"PK"):
    return _kind_of_zip(path)
  try:
    return f"a {Image.open(io.BytesIO(start)).format} image"
  except Exception:  # not an image, then
    pass
  try:
    start.decode()
  except UnicodeDecodeError as error:
    if error.start < len(start) - 4:  # else a character is cut
      return "a file of a kind that is not known"
  return "a text file"


def _kind_of_zip(path: epath.Path) -> str:
  try:
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
      is_torch = any(name.endswith("data.pkl") for name in archive.namelist())
  except (OSError, zipfile.BadZipFile):
    return "a damaged zip file"
  return "a PyTorch file" if is_torch else "a zip file"
