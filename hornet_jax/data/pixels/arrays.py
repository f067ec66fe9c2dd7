"""This module reads images that are arrays of any number of channels: TIFF and NumPy files."""

import io
import math

import numpy as np
from PIL import Image

from hornet_jax.data.pixels.pixel_format import PILLOW_MODES, PixelFormat
from hornet_jax.wording import counted

_NPY = b"\x93NUMPY"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_LARGEST = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65_535}


def is_npy(encoded: bytes) -> bool:
  """Tells whether bytes are a NumPy file."""
  return encoded.startswith(_NPY)


def is_tiff(encoded: bytes) -> bool:
  """Tells whether bytes are a TIFF or BigTIFF file."""
  return encoded.startswith(_TIFF)


def array_shape(encoded: bytes) -> tuple[int, int, int]:
  """Reads the shape of a TIFF, (H, W, C), or of a NumPy file, likewise or (C, H, W).

  No pixel is read: a file may be larger than the memory.

  Raises:
    ValueError: if it is no image.
  """
  if is_npy(encoded):
    shape = _npy_shape(encoded)
  else:
    import tifffile

    with tifffile.TiffFile(io.BytesIO(encoded)) as file:
      series = file.series[0]
      sides = dict(zip(series.axes, series.shape, strict=False))
    if series.axes.count("Y") != 1 or series.axes.count("X") != 1:
      raise ValueError(f"a TIFF of axes {series.axes}, not an image")
    height, width = sides["Y"], sides["X"]
    channels = sides.get("S", math.prod(series.shape) // max(height * width, 1))
    shape = (height, width, channels)
  if len(shape) != 3 or 0 in shape:
    raise ValueError(f"an array of shape {list(shape)}, expected height, width, channels")
  return shape[0], shape[1], shape[2]


def _npy_shape(encoded: bytes) -> tuple[int, ...]:
  file = io.BytesIO(encoded)
  version = np.lib.format.read_magic(file)
  read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
  if version not in read:
    raise ValueError(f"a NumPy file of version {version}, expected one of 1.0 or 2.0")
  shape = read[version](file)[0]
  return (*shape, 1) if len(shape) == 2 else shape


def decode_array(encoded: bytes, pixel_format: PixelFormat) -> np.ndarray:
  """Decodes a TIFF or NumPy file to uint8 [H, W, C].

  The channels of a TIFF may be samples, planes or pages; those of a NumPy file the last axis or
  the first, whichever has the expected length.

  Raises:
    ValueError: if there are other channels than expected, or the values have no fixed range.
  """
  values = array_values(encoded)
  return scaled(_channels_last(values, pixel_format.channels), pixel_format)


def array_type(encoded: bytes) -> np.dtype:
  """Reads the type of the numbers of a TIFF or NumPy file."""
  if is_npy(encoded):
    return np.load(io.BytesIO(encoded), allow_pickle=False).dtype
  import tifffile

  with tifffile.TiffFile(io.BytesIO(encoded)) as file:
    return np.dtype(file.series[0].dtype)


def array_values(encoded: bytes) -> np.ndarray:
  """Reads the numbers of a TIFF, [H, W, C], or of a NumPy file, likewise or [C, H, W]."""
  return _read_npy(encoded) if is_npy(encoded) else _read_tiff(encoded)


def _read_npy(encoded: bytes) -> np.ndarray:
  values = np.load(io.BytesIO(encoded), allow_pickle=False)
  return values[..., None] if values.ndim == 2 else values


def _read_tiff(encoded: bytes) -> np.ndarray:
  import tifffile

  with tifffile.TiffFile(io.BytesIO(encoded)) as file:
    series = file.series[0]
    values, axes = series.asarray(), series.axes
  if "S" in axes:  # pages with channels of their own are images, of which the first is read
    others = [k for k, axis in enumerate(axes) if axis not in "YXS"]
    values = values[tuple(0 if k in others else slice(None) for k in range(values.ndim))]
    axes = "".join(axis for axis in axes if axis in "YXS")
  values = np.moveaxis(values, (axes.index("Y"), axes.index("X")), (0, 1))
  return values.reshape(*values.shape[:2], -1)


def _channels_last(values: np.ndarray, channels: int) -> np.ndarray:
  """Returns an array [H, W, C] as it is or of its first axis, whichever C is expected."""
  wanted = PILLOW_MODES if channels in PILLOW_MODES else (channels,)
  if values.shape[2] not in wanted and values.shape[0] in wanted:
    return np.moveaxis(values, 0, 2)
  return values


def largest_value(dtype: np.dtype, pixel_format: PixelFormat) -> float:
  """Returns the value of a type that becomes 255; 0 where there is none."""
  return pixel_format.max_value or float(_LARGEST.get(dtype, 0))


def scaled(values: np.ndarray, pixel_format: PixelFormat) -> np.ndarray:
  """Turns numbers [H, W, C] of any type into bytes, in the channels that are wanted.

  Values beyond the largest become 255, those below 0 become 0.

  Raises:
    ValueError: if the channels cannot be converted, the values have no fixed range, or some are
      infinite or no number.
  """
  wanted, got = pixel_format.channels, values.shape[2]
  if wanted != got and not {wanted, got} <= PILLOW_MODES.keys():
    raise ValueError(f"{counted(got, 'channel')}, expected {wanted}")
  if values.dtype != np.uint8:
    largest = largest_value(values.dtype, pixel_format)
    if not largest:
      raise ValueError(f"pixels of {values.dtype} have no fixed range: give max_value")
    numbers = values.astype(np.float64)
    infinite = numbers.size - int(np.isfinite(numbers).sum())
    if infinite:
      raise ValueError(f"values that are infinite or NaN: {infinite:,} of {numbers.size:,}")
    values = np.round(np.clip(numbers, 0, largest) * (255 / largest)).astype(np.uint8)
  if wanted == got:
    return values
  image = Image.fromarray(values[..., 0] if got == 1 else values)
  converted = np.asarray(image.convert(PILLOW_MODES[wanted]))
  return converted[..., None] if wanted == 1 else converted
