"""This module makes the page of a scaling law: tables and figures, one file."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from hornet_jax.report.figures import inline_svg
from hornet_jax.report.template import render_template


class LawSection(NamedTuple):
  """A `LawSection` is a part of the page.

  Attributes:
    title: heading.
    text: what is shown, as sentences; may be empty.
    rows: rows of a table, column -> text, the same columns in each; may be empty.
    figure: function that draws the figure, called where there is a page; None for none.
  """

  title: str
  text: str = ""
  rows: Sequence[Mapping[str, str]] = ()
  figure: Callable[[], Figure] | None = None


def render_law(title: str, summary: str, command: str, sections: Sequence[LawSection]) -> str:
  """Makes the page as HTML text that needs no other file and no network.

  Args:
    title: heading of the page.
    summary: sentence below it.
    command: command that made it.
    sections: parts of the page.
  """
  shown = [
    {
      "title": section.title,
      "text": section.text,
      "headings": list(section.rows[0]) if section.rows else [],
      "rows": [list(row.values()) for row in section.rows],
      "svg": inline_svg(section.figure(), section.title) if section.figure else "",
    }
    for section in sections
  ]
  return render_template(
    "law.html.j2", title=title, summary=summary, command=command, sections=shown
  )
