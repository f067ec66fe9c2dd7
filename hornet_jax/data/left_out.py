"""The list, beside a dataset, of what is not used of that which it was made from."""

from collections.abc import Iterable

LEFT_OUT = "left_out.txt"
"""Name of the list."""


def escaped(name: str) -> str:
  """A name without line breaks and bytes that are no text, which archives may hold."""
  return name if name.isprintable() else name.encode("unicode_escape").decode()


def left_out_text(left_out: Iterable[tuple[str, str]]) -> str:
  """The content of the list, sorted: a line each, of the name, a tab, and why.

  Args:
    left_out: names, as they are, and why each is not used.
  """
  return "".join(sorted(f"{escaped(name)}\t{escaped(reason)}\n" for name, reason in left_out))
