"""This module renders pages from templates: one file each, no network."""

import pathlib
from typing import Any

import jinja2


def _own(name: str) -> str | None:
  """Reads a template that a task brings: a path, not a name of this folder."""
  path = pathlib.Path(name)
  return path.read_text(encoding="utf-8") if path.is_absolute() and path.is_file() else None


_ENVIRONMENT = jinja2.Environment(
  loader=jinja2.ChoiceLoader(
    [jinja2.PackageLoader("hornet_jax", "report"), jinja2.FunctionLoader(_own)]
  ),
  autoescape=True,
  trim_blocks=True,
  lstrip_blocks=True,
  undefined=jinja2.StrictUndefined,
)


def render_template(name: str, **values: Any) -> str:
  """Renders a template as HTML text. Equal values give equal text.

  Args:
    name: file of this folder, or the absolute path of another.
    values: what the template calls by name.
  """
  return _ENVIRONMENT.get_template(name).render(**values)
