"""This module renders pages from templates: one file each, no network."""

from typing import Any

import jinja2

_ENVIRONMENT = jinja2.Environment(
  loader=jinja2.PackageLoader("hornet_jax", "report"),
  autoescape=True,
  trim_blocks=True,
  lstrip_blocks=True,
  undefined=jinja2.StrictUndefined,
)


def render_template(name: str, **values: Any) -> str:
  """Renders a template of this folder as HTML text. Equal values give equal text."""
  return _ENVIRONMENT.get_template(name).render(**values)
