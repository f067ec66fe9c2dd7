"""Files that are written whole or not at all, on disk or in an object store."""

from etils import epath

from hornet_jax.errors import InputError


def make_folder(path: epath.Path) -> None:
  """Makes a folder and those above it; `InputError` if that cannot be."""
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise InputError(f"{path} must be a folder that can be written: {error}.") from error


def write_file(path: epath.Path, content: str | bytes) -> None:
  """Writes a whole file, beside its place first: a kill leaves the previous one.

  Files are never appended to: object stores cannot.

  Args:
    path: of the file.
    content: text is written as UTF-8.

  Raises:
    InputError: if the file cannot be written.
  """
  partial = path.with_name(f"{path.name}.partial")
  try:
    partial.write_bytes(content.encode() if isinstance(content, str) else content)
    partial.replace(path)
  except OSError as error:
    raise InputError(f"{path} must be a file that can be written: {error}.") from error
