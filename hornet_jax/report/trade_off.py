"""This module draws accuracy against cost, one panel for each kind of cost."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

_COLORS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2", "#be185d", "#52525b")
_TICKS = [base * 10.0**power for power in range(-3, 13) for base in (1, 1.5, 2, 3, 5, 7)]


class Panel(NamedTuple):
  """A panel has one kind of cost on its horizontal axis, which is logarithmic.

  Attributes:
    column: column of the rows.
    label: name of the cost, with its unit.
    unit: number that is one on the axis.
    to: column of the other end, where the cost is a range; "" for none.
  """

  column: str
  label: str
  unit: float = 1.0
  to: str = ""


def draw_trade_off(rows: Sequence[Mapping[str, Any]], panels: Sequence[Panel], note: str) -> bytes:
  """Draws published accuracies against costs as PNG; equal rows give equal bytes.

  Models without a published accuracy are ticks at the foot of each panel.

  Args:
    rows: models with `series`, `top1` in percent or None, and the columns of the panels.
    panels: kinds of cost, drawn side by side.
    note: line beneath the panels.
  """
  series = list(dict.fromkeys(row["series"] for row in rows))
  colors = {name: _COLORS[i % len(_COLORS)] for i, name in enumerate(series)}
  style = {
    "axes.edgecolor": "#a1a1aa",
    "axes.labelcolor": "#52525b",
    "font.size": 9,
    "xtick.color": "#52525b",
    "ytick.color": "#52525b",
  }
  with matplotlib.rc_context(style):
    figure = Figure(figsize=(3.2 * len(panels), 3.9), layout="constrained", dpi=150)
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, panel in zip(all_axes, panels, strict=True):
      for name in series:
        _draw_series(axes, panel, [row for row in rows if row["series"] == name], colors[name])
      _finish(axes, panel)
    all_axes[0].set_ylabel("published ImageNet-1K top-1, %")
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(series), frameon=False)
    figure.supxlabel(note, fontsize=8, color="#52525b")
    buffer = io.BytesIO()
    metadata: dict[str, Any] = {"Software": None}  # matplotlib would sign with its version
    figure.savefig(buffer, format="png", metadata=metadata)
  return buffer.getvalue()


def _draw_series(axes: Any, panel: Panel, rows: Sequence[Mapping[str, Any]], color: str) -> None:
  known = [row for row in rows if row["top1"] is not None]
  others = [row for row in rows if row["top1"] is None]
  label = rows[0]["series"]
  costs = [row[panel.column] / panel.unit for row in known]
  if known:
    accuracies = [row["top1"] for row in known]
    axes.plot(costs, accuracies, marker="o", markersize=4, linewidth=1.2, color=color, label=label)
    if panel.to:
      ends = [row[panel.to] / panel.unit for row in known]
      axes.hlines(accuracies, costs, ends, color=color, linewidth=0.8, alpha=0.6)
  foot = axes.get_xaxis_transform()  # data across, the axes' height upwards
  for row in others:
    start = row[panel.column] / panel.unit
    one = {} if known or row is not others[0] else {"label": f"{label} (no figure at hand)"}
    axes.plot([start], [0.02], marker="|", markersize=9, color=color, transform=foot, ls="", **one)
    if panel.to:
      ends = [start, row[panel.to] / panel.unit]
      axes.plot(ends, [0.02, 0.02], color=color, linewidth=0.8, alpha=0.6, transform=foot)


def _finish(axes: Any, panel: Panel) -> None:
  axes.set_xscale("log")
  axes.xaxis.set_major_locator(FixedLocator(_TICKS))
  axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
  axes.xaxis.set_minor_formatter(NullFormatter())
  axes.xaxis.set_minor_locator(FixedLocator([]))
  axes.set_xlabel(panel.label)
  axes.grid(color="#e4e4e7", linewidth=0.6)
  axes.set_axisbelow(True)
  axes.tick_params(which="both", length=0)
  axes.spines[["top", "right", "left"]].set_visible(False)
