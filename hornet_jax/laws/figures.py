"""Figures of laws, as matplotlib's objects: a notebook shows them, a page holds them."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import (
  FuncFormatter,
  LogFormatterSciNotation,
  LogLocator,
  MaxNLocator,
  NullFormatter,
)

from hornet_jax.laws.fitting import Fit
from hornet_jax.laws.isoflop import Parabola, frontier
from hornet_jax.laws.optimum import Optimum
from hornet_jax.laws.points import Points
from hornet_jax.laws.resampling import Bootstrap

_BLUE, _RED, _GREY, _GRID = "#2563eb", "#dc2626", "#71717a", "#e4e4e7"
_STYLE = {
  "axes.edgecolor": "#a1a1aa",
  "axes.labelcolor": "#52525b",
  "font.size": 9,
  "xtick.color": "#52525b",
  "ytick.color": "#52525b",
}
_COLORS = "viridis"
_CURVES, _FINE = 6, 120
_DECADE = 10.0
_AHEAD = 10.0  # factor by which curves go on beyond the largest run


def draw_fit(fit: Fit, samples: Bootstrap | None = None, held: Points | None = None) -> Figure:
  """Draws losses with the law through them, and beneath them how far each is from it.

  A law of size and data has a curve for each of six sizes among those of the points; one with more
  axes has no curves, but the predictions beside the losses.

  Args:
    fit: fit to draw.
    samples: bootstrap of it, for the bands; None for none.
    held: points that were held out, which are drawn open.
  """
  with matplotlib.rc_context(_STYLE):
    figure = Figure(figsize=(7.2, 5.4), layout="constrained", dpi=120)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    role = fit.law.axes[-1]
    if fit.law.axes[:-1] == ("size",):
      _curves_by_size(figure, above, fit, samples)
      _residuals(below, fit, fit.points, by=fit.points.values["size"])
    elif len(fit.law.axes) > 1:
      _measured_and_predicted(above, fit)
      _residuals(below, fit, fit.points)
    else:
      _single_curve(above, fit, samples, held)
      _residuals(below, fit, fit.points)
    if held is not None and len(held):
      x = held.values[role]
      above.scatter(x, held.losses, s=22, facecolors="none", edgecolors=_RED, label="held out")
      errors = 100 * np.log(held.losses / fit.predict(held.axes(fit.law.axes)))
      below.scatter(x, errors, s=22, facecolors="none", edgecolors=_RED)
      above.legend(frameon=False, loc="upper right")
    above.set_yscale("log")
    _plain_numbers(above.yaxis)
    _plain_numbers(below.xaxis)
    above.set_ylabel(fit.points.names["loss"])
    below.set_ylabel("off by, %")
    below.set_xlabel(fit.points.names[role])
    for axes in (above, below):
      _finish(axes)
  return figure


def draw_isoflop(points: Points, parabolas: Sequence[Parabola]) -> Figure:
  """Draws loss against size, with a parabola through the runs of each budget.

  Args:
    points: points with the roles size and compute.
    parabolas: what `fit_parabolas` found in them.
  """
  with matplotlib.rc_context(_STYLE):
    figure = Figure(figsize=(7.2, 4.2), layout="constrained", dpi=120)
    axes = figure.add_subplot()
    budgets = [parabola.budget for parabola in parabolas]
    for parabola, color in zip(parabolas, _shades(len(parabolas)), strict=True):
      size, losses = points.values["size"][parabola.members], points.losses[parabola.members]
      axes.scatter(size, losses, s=14, color=color, zorder=3, label=f"{parabola.budget:.2g}")
      fine = np.geomspace(size.min(), size.max(), _FINE)
      axes.plot(fine, np.polyval(parabola.coefficients, np.log10(fine)), color=color, lw=1.1)
      if size.min() <= parabola.size <= size.max():
        axes.plot([parabola.size], [parabola.loss], marker="v", ms=7, color=_RED, zorder=4)
    axes.set_xscale("log")
    axes.set_xlabel(points.names["size"])
    axes.set_ylabel(points.names["loss"])
    if budgets:
      title = points.names["compute"]
      axes.legend(
        title=title, frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5)
      )
    _finish(axes)
  return figure


def draw_frontier(
  points: Points, budgets: np.ndarray, losses: np.ndarray, band: np.ndarray | None = None
) -> Figure:
  """Draws loss against compute: every run, those that no cheaper one equals, and the law's best.

  Args:
    points: points with the role compute.
    budgets: compute [m].
    losses: losses that the law predicts for the best split of them, [m].
    band: lower and upper ends, [2, m]; None for none.
  """
  with matplotlib.rc_context(_STYLE):
    figure = Figure(figsize=(7.2, 4.2), layout="constrained", dpi=120)
    axes = figure.add_subplot()
    compute = points.values["compute"]
    best = frontier(compute, points.losses)
    axes.scatter(compute, points.losses, s=12, color="#93c5fd", label="runs")
    axes.scatter(compute[best], points.losses[best], s=18, color=_BLUE, label="frontier")
    axes.plot(budgets, losses, color=_RED, lw=1.4, label="best split by the law")
    if band is not None:
      axes.fill_between(budgets, *band, color=_RED, alpha=0.15, lw=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    _plain_numbers(axes.yaxis)
    axes.set_xlabel(points.names["compute"])
    axes.set_ylabel(points.names["loss"])
    axes.legend(frameon=False)
    _finish(axes)
  return figure


def draw_optimum(
  points: Points,
  budgets: np.ndarray,
  optimum: Optimum,
  bands: tuple[np.ndarray, np.ndarray] | None = None,
  parabolas: Sequence[Parabola] = (),
) -> Figure:
  """Draws the best size and the best amount of data against compute.

  Args:
    points: points with the roles size, data and compute, whose names stand on the axes.
    budgets: compute [m].
    optimum: best split of the budgets by one set of parameters, [1, m].
    bands: lower and upper ends of size and of data, [2, m] each; None for none.
    parabolas: parabolas whose lowest points are drawn beside, where they have one.
  """
  with matplotlib.rc_context(_STYLE):
    figure = Figure(figsize=(7.2, 3.4), layout="constrained", dpi=120)
    both = figure.subplots(1, 2)
    inside = [p for p in parabolas if _is_inside(points, p)]
    for i, (axes, role) in enumerate(zip(both, ("size", "data"), strict=True)):
      axes.plot(budgets, optimum[i][0], color=_RED, lw=1.4, label="by the law")
      if bands is not None:
        axes.fill_between(budgets, *bands[i], color=_RED, alpha=0.15, lw=0)
      for parabola in inside:
        each = points.values["compute"] / points.values["size"] / points.values["data"]
        per_pair = float(np.median(each[parabola.members]))
        place = parabola.size if role == "size" else parabola.budget / parabola.size / per_pair
        first = {"label": "lowest of a parabola"} if parabola is inside[0] else {}
        axes.plot([parabola.budget], [place], marker="v", ms=6, ls="", color=_BLUE, **first)
      axes.set_xscale("log")
      axes.set_yscale("log")
      axes.set_xlabel(points.names["compute"])
      axes.set_ylabel(f"best {points.names[role]}")
      _finish(axes)
    both[0].legend(frameon=False)
  return figure


def _is_inside(points: Points, parabola: Parabola) -> bool:
  sizes = points.values["size"][parabola.members]
  return bool(sizes.min() <= parabola.size <= sizes.max())


def _measured_and_predicted(axes: Any, fit: Fit) -> None:
  """Draws each run, and what the law says of it, over the last axis of the law."""
  scale = fit.points.values[fit.law.axes[-1]]
  axes.scatter(scale, fit.points.losses, s=14, color=_BLUE, label="runs")
  axes.scatter(scale, fit.predict(fit.x), s=16, color=_RED, marker="_", label="by the law")
  axes.set_xscale("log")
  axes.legend(frameon=False, loc="upper right")


def _curves_by_size(figure: Figure, axes: Any, fit: Fit, samples: Bootstrap | None) -> None:
  size, data = fit.x
  norm = matplotlib.colors.LogNorm(size.min(), size.max())
  colors = matplotlib.colormaps[_COLORS]
  dots = axes.scatter(data, fit.points.losses, s=14, c=size, cmap=_COLORS, norm=norm, zorder=3)
  figure.colorbar(dots, ax=axes, label=fit.points.names["size"], pad=0.01)
  fine = np.geomspace(data.min(), _AHEAD * data.max(), _FINE)
  sizes = np.unique(size)
  picked = sizes[np.linspace(0, len(sizes) - 1, min(_CURVES, len(sizes))).round().astype(int)]
  for one in picked:
    x = np.stack([np.full_like(fine, one), fine])
    _curve(axes, fine, x, fit, samples, colors(norm(one)))
  axes.set_xscale("log")


def _single_curve(axes: Any, fit: Fit, samples: Bootstrap | None, held: Points | None) -> None:
  (scale,) = fit.x
  axes.scatter(scale, fit.points.losses, s=16, color=_BLUE, zorder=3, label="fitted to")
  last = max([scale.max() * _AHEAD, *([] if held is None else held.values["scale"].tolist())])
  fine = np.geomspace(scale.min(), last, _FINE)
  _curve(axes, fine, fine[None], fit, samples, _BLUE)
  axes.set_xscale("log")


def _curve(
  axes: Any, fine: np.ndarray, x: np.ndarray, fit: Fit, samples: Bootstrap | None, color: Any
) -> None:
  losses = fit.predict(x)
  axes.plot(fine, losses, color=color, lw=1.1)
  if samples is not None:
    band = samples.interval(samples.predict(x), losses)
    axes.fill_between(fine, *band, color=color, alpha=0.15, lw=0)


def _residuals(axes: Any, fit: Fit, points: Points, by: np.ndarray | None = None) -> None:
  norm = None if by is None else matplotlib.colors.LogNorm(by.min(), by.max())
  paint: dict[str, Any] = {"color": _BLUE} if by is None else {"c": by, "cmap": _COLORS}
  errors = 100 * fit.log_errors()
  axes.scatter(points.values[fit.law.axes[-1]], errors, s=12, norm=norm, zorder=3, **paint)
  axes.axhline(0, color=_GREY, lw=0.8)


def _plain_numbers(axis: Any) -> None:
  """Writes a logarithmic axis of less than two decades as numbers, not as powers of ten."""
  low, high = axis.get_view_interval()
  if high < _DECADE * low:
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
  elif high < _DECADE**2 * low:
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
  else:
    axis.set_major_formatter(LogFormatterSciNotation())
    return
  axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
  axis.set_minor_formatter(NullFormatter())


def _shades(count: int) -> list[Any]:
  return [matplotlib.colormaps[_COLORS](share) for share in np.linspace(0, 0.92, max(count, 1))][
    :count
  ]


def _finish(axes: Any) -> None:
  axes.grid(color=_GRID, linewidth=0.6)
  axes.set_axisbelow(True)
  axes.tick_params(which="both", length=0)
  axes.spines[["top", "right", "left"]].set_visible(False)
