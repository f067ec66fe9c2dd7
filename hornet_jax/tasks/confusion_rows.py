"""A confusion matrix becomes the rows of a table."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer


def confusion_rows(
  counts: Integer[np.ndarray, "K K"], class_names: Sequence[str]
) -> list[dict[str, object]]:
  """Makes a row of each true class, with a column of each predicted one.

  The first column, `true`, has the name of the true class; where a class has that name, as of a
  mask of true and false, it is `true_`.

  Args:
    counts: how often each class was predicted for each true one, [true, predicted].
    class_names: names of the K classes.
  """
  heading = "true"
  while heading in class_names:
    heading += "_"
  return [
    {heading: name, **dict(zip(class_names, row.tolist(), strict=True))}
    for name, row in zip(class_names, counts, strict=True)
  ]
