"""How activations and the best learning rate depend on the width: slopes, tables, pictures."""

import math
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from hornet_jax.studies.markdown import markdown_table

_COLORS = ("#93c5fd", "#3b82f6", "#1d4ed8", "#172554")
_MARK, _GRID = "#dc2626", "#e4e4e7"
_LEGEND_ROWS = 20

Scales = Mapping[str, Mapping[str, Sequence[float]]]
"""Parametrization -> layer -> mean |x| at each width."""
Losses = Mapping[str, Mapping[int, Sequence[float]]]
"""Parametrization -> width -> loss at each learning rate."""


def slope(widths: Sequence[int], scales: Sequence[float]) -> float:
  """Fits the exponent of scale = c * width^slope, by least squares of the logarithms."""
  return float(np.polyfit(np.log(widths), np.log(scales), 1)[0])


def coordinates_table(widths: Sequence[int], scales: Scales) -> str:
  """Writes the scale at the first and the last width and the slope, a row for each layer."""
  layers = next(iter(scales.values())).keys()
  rows = []
  for layer in layers:
    row = {"layer": layer}
    for name, of_layer in scales.items():
      first, *_, last = of_layer[layer]
      row[f"{name}, width {widths[0]}"] = f"{first:.3g}"
      row[f"{name}, width {widths[-1]}"] = f"{last:.3g}"
      row[f"{name}, slope"] = f"{slope(widths, of_layer[layer]):+.3f}"
    rows.append(row)
  return markdown_table(rows)


def best_rate(rates: Sequence[float], losses: Sequence[float]) -> float:
  """Finds where a parabola through the best rate and its neighbours is lowest, over log rate.

  Args:
    rates: learning rates, ascending.
    losses: loss at each of them; infinite where training broke down.

  Returns:
    The learning rate; where the best is an end, or beside a breakdown, it itself.
  """
  best = int(np.argmin(losses))
  near = slice(max(best - 1, 0), best + 2)
  if not 0 < best < len(rates) - 1 or not np.isfinite(losses[near]).all():
    return rates[best]
  curvature, linear, _ = np.polyfit(np.log(rates[near]), losses[near], 2)
  return math.exp(-linear / (2 * curvature)) if curvature > 0 else rates[best]


def rates_table(rates: Sequence[float], losses: Losses) -> str:
  """Writes the loss at every learning rate and the best one, a row for each width."""
  rows = [
    {"parametrization": name, "width": str(width)}
    | {f"{rate:g}": f"{loss:.3f}" for rate, loss in zip(rates, of_width, strict=True)}
    | {"best": f"{best_rate(rates, of_width):.2g}{_beyond(rates, of_width)}"}
    for name, by_width in losses.items()
    for width, of_width in by_width.items()
  ]
  return markdown_table(rows)


def _beyond(rates: Sequence[float], losses: Sequence[float]) -> str:
  """Says that a better rate may lie outside of those tried."""
  return " or beyond" if int(np.argmin(losses)) in (0, len(rates) - 1) else ""


def spread(rates: Sequence[float], by_width: Mapping[int, Sequence[float]]) -> float:
  """Gives the factor between the largest and the smallest of the widths' best learning rates."""
  best = [best_rate(rates, losses) for losses in by_width.values()]
  return max(best) / min(best)


def draw_coordinates(widths: Sequence[int], scales: Scales, path: pathlib.Path) -> None:
  """Draws the scale of every layer over the width, a panel for each parametrization.

  Args:
    widths: widths, ascending.
    scales: what was measured at them.
    path: PNG file to write.
  """
  figure, panels = _panels(len(scales))
  for axes, (name, of_layer) in zip(panels, scales.items(), strict=True):
    for i, (layer, values) in enumerate(of_layer.items()):
      color = _MARK if layer == "logits" else colormaps["viridis"](i / len(of_layer))
      axes.plot(widths, values, "o-", ms=3, lw=1.2, color=color, label=layer)
    axes.set(xscale="log", yscale="log", title=name, xlabel="width (base_dim)")
    axes.set_xticks(widths, [str(width) for width in widths])
    axes.set_xticks([], minor=True)
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
  panels[0].set_ylabel("mean |activation|")
  columns = 1 + len(next(iter(scales.values()))) // _LEGEND_ROWS
  panels[-1].legend(
    fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, ncols=columns
  )
  figure.savefig(path)


def draw_rates(rates: Sequence[float], losses: Losses, path: pathlib.Path) -> None:
  """Draws the loss over the learning rate, a line for each width, its best rate marked.

  Args:
    rates: learning rates, ascending.
    losses: what was measured at them.
    path: PNG file to write.
  """
  figure, panels = _panels(len(losses))
  for axes, (name, by_width) in zip(panels, losses.items(), strict=True):
    for i, (width, values) in enumerate(by_width.items()):
      color = _COLORS[min(i, len(_COLORS) - 1)]
      axes.plot(rates, values, "o-", ms=3, lw=1.4, color=color, label=f"width {width}")
      best = best_rate(rates, values)
      axes.axvline(best, color=color, lw=1, ls=":")
    axes.set(xscale="log", title=name, xlabel="learning rate")
  panels[0].set_ylabel("training loss")
  panels[-1].legend(fontsize=8, frameon=False)
  figure.savefig(path)


def _panels(count: int) -> tuple[Figure, list[Axes]]:
  figure = Figure(figsize=(1.5 + 3.4 * count, 3.6), layout="constrained", dpi=120)
  panels = list(np.atleast_1d(figure.subplots(1, count, sharey=True)))
  for axes in panels:
    axes.grid(color=_GRID, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
  return figure, panels
