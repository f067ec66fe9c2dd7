"""Tables as the pages of the experiments have them."""

from collections.abc import Mapping, Sequence

from tabulate import tabulate


def markdown_table(rows: Sequence[Mapping[str, str]]) -> str:
  """Writes rows of equal keys as a table in Markdown, the first column to the left."""
  columns = len(rows[0]) if rows else 0
  alignment = ["left"] + ["right"] * (columns - 1)
  return tabulate(
    rows, headers="keys", tablefmt="pipe", disable_numparse=True, colalign=alignment[:columns]
  )
