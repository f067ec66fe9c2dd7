"""How the parts of an analysis are printed, for people and for programs."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from tabulate import tabulate

from hornet_jax.laws.accounting import power_cost
from hornet_jax.laws.analysis import Analysis
from hornet_jax.report.law import LawSection

_WIDEST = 80  # characters of a cell, before it goes on in another line


def summary(analysis: Analysis, how: str) -> str:
  """Tells the law, what was made small, and what the columns are.

  Args:
    analysis: analysis of a fit.
    how: source of its parameters; "" where they have the smallest sum.
  """
  fit = analysis.fit
  names = ", ".join(f"{role} {fit.points.names[role]}" for role in (*fit.law.axes, "loss"))
  criterion = fit.criterion
  what = f"log(loss + {criterion.offset:g})" if criterion.offset else "log loss"
  of = what if criterion.log else "loss"
  kind = "squares" if criterion.delta is None else f"Huber's loss (delta {criterion.delta:g})"
  source = f"{how}, judged by " if how else ""
  return f"{fit.law.name} by {source}{kind} of {of}; {names}"


def printed(section: LawSection) -> str:
  """Writes a part for a terminal."""
  lines = [section.title, *([section.text] if section.text else [])]
  if section.rows:
    lines.append(
      tabulate(section.rows, headers="keys", disable_numparse=True, maxcolwidths=_WIDEST)
    )
  return "\n".join(lines)


def record(analysis: Analysis, prediction: Mapping[str, Any] | None) -> dict[str, Any]:
  """Gives the numbers of an analysis, for JSON."""
  fit, samples = analysis.fit, analysis.samples
  intervals = {}
  if samples is not None:
    ends = samples.interval(samples.theta, fit.theta)
    intervals = {name: ends[:, i].tolist() for i, name in enumerate(fit.law.parameters)}
  held, axes = analysis.held, {}
  if fit.law.axes == ("size", "data"):
    size = fit.points.values["size"]
    cost = dataclasses.asdict(power_cost(fit.points)[0])
    axes = {"cost": cost, "sizes": [float(size.min()), float(size.max())]}
  return {
    "law": fit.law.name,
    "formula": fit.law.formula,
    "criterion": dataclasses.asdict(fit.criterion),
    "columns": dict(fit.points.names),
    "points": len(fit.points),
    "parameters": fit.parameters,
    "intervals": intervals,
    "floor_by_profile": analysis.floor,
    "objective": fit.objective,
    "gradient": fit.gradient,
    "aicc": fit.aicc() if np.isfinite(fit.aicc()) else None,
    "warnings": [doubt._asdict() for doubt in analysis.doubts],
    "holdout": held and {"from": held.bound, "points": len(held.held), "rmse": held.rmse},
    "left_out_rmse": [one.rmse for one in analysis.left_out],
    "prediction": prediction,
    **axes,
  }
