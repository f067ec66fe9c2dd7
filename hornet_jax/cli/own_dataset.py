"""What is told of a dataset of somebody's own files, whatever they are."""

import pathlib
from collections.abc import Collection, Mapping
from typing import TypeVar

from etils import epath

from hornet_jax.data.preparing.left_out import LEFT_OUT, escaped
from hornet_jax.data.preparing.prepare import printable

_NAMED_AT_MOST = 20
_Name = TypeVar("_Name", str, pathlib.Path)


def tell_split(rule: str, splits: Collection[str], name: str) -> None:
  """Prints how the files were split, and which split is evaluated on.

  Args:
    rule: words that say how.
    splits: names of the splits.
    name: name of the dataset.
  """
  print(f"split {rule}")
  if {"validation", "test"} <= set(splits):
    print(
      f"evaluated on is validation; on test as well by --config.eval.also=('{name}/test',), or in "
      "its place by --config.data.eval_split=test"
    )


def tell_left_out(left_out: Mapping[_Name, str], path: epath.Path) -> None:
  """Prints the first of the files and entries that are not used, and where all are named.

  Args:
    left_out: path or name of each, and the reason.
    path: folder of the dataset's files.
  """
  if left_out:
    print(f"left out, {len(left_out):,} in all, every one named in {path / LEFT_OUT}:")
    for file, reason in list(left_out.items())[:_NAMED_AT_MOST]:
      print(f"  {escaped(printable(file))}: {reason}")
