"""This module writes the list, beside a dataset, of the source files that it does not use."""

from collections.abc import Iterable

LEFT_OUT = "left_out.txt"
"""Name of the list."""


def escaped(name: str) -> str:
  """Escapes what a name from an archive may hold and a line must not: line breaks, odd bytes."""
  return name if name.isprintable() else name.encode("unicode_escape").decode()


def left_out_text(left_out: Iterable[tuple[str, str]]) -> str:
  """Returns the content of the list, sorted: a line has the name, a tab and the reason.

  Args:
    left_out: names as they are, and the reason why each is not used.
  """
  return "".join(sorted(f"{escaped(name)}\t{escaped(reason)}\n" for name, reason in left_out))
