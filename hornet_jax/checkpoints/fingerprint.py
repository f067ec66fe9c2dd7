"""Which parameters they are, wherever they lie."""

import hashlib
from typing import Any

import numpy as np
from flax import traverse_util


def fingerprint(params: Any) -> str:
  """SHA-256 of all parameters: of paths, types, shapes and values, in the order of the paths.

  The same for a run, its export and what was converted from it.
  """
  digest = hashlib.sha256()
  for path, leaf in sorted(traverse_util.flatten_dict(params, sep="/").items()):
    values = np.ascontiguousarray(leaf)
    digest.update(f"{path} {values.dtype} {values.shape}\n".encode())
    digest.update(values.tobytes())
  return digest.hexdigest()
