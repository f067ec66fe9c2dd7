"""What an analysis of a law says, part by part: printed, and shown on a page."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from hornet_jax.laws.analysis import Analysis, Budgets
from hornet_jax.laws.error_rate import fit_error_rate
from hornet_jax.laws.figures import draw_fit, draw_frontier, draw_isoflop, draw_optimum
from hornet_jax.laws.holdout import Holdout
from hornet_jax.laws.isoflop import fit_parabolas, fit_power_line, local_exponents
from hornet_jax.laws.points import Points
from hornet_jax.report.law import LawSection
from hornet_jax.wording import counted

_THIRDS = ("smallest", "middle", "largest")


def doubts(analysis: Analysis) -> LawSection:
  """Tells the known failures that were found."""
  found = analysis.doubts
  text = "" if found else "None of the known failures was found."
  return LawSection(
    "Warnings", text, [{"warning": name, "what was found": said} for name, said in found]
  )


def parameters(analysis: Analysis) -> LawSection:
  """Tables the parameters with their intervals, and how the fit was found."""
  fit, samples = analysis.fit, analysis.samples
  values = list(fit.theta)
  spread = [] if samples is None else list(samples.theta.T)
  names = list(fit.law.parameters)
  if fit.law.name == "chinchilla":
    names.append("beta / (alpha + beta)")
    values.append(_size_exponent(fit.theta))
    spread += [] if samples is None else [_size_exponent(samples.theta.T)]
  rows = []
  for i, (name, value) in enumerate(zip(names, values, strict=True)):
    row = {"parameter": name, "value": f"{value:.6g}"}
    if samples is not None:
      low, high = samples.interval(spread[i], np.asarray(value))
      row |= {
        "standard error": f"{_deviation(spread[i]):.3g}",
        f"{samples.level:.0%} interval": f"{low:.5g} to {high:.5g}",
      }
    rows.append(row)
  lines = [
    f"Sum of the criterion {fit.objective:.6g}, norm of its gradient over it {fit.gradient:.1e}, "
    f"AICc {fit.aicc():.2f}."
  ]
  if len(fit.ends.objective) > 1:
    starts = counted(len(fit.ends.objective), "start")
    lines.append(f"{int(fit.near(1e-3).sum())} of {starts} came within a thousandth of that sum.")
  if samples is not None:
    runs = len(np.unique(fit.points.runs))
    lines.append(
      f"Intervals: {counted(len(samples.theta), 'bootstrap sample')} of {counted(runs, 'run')}."
    )
  if analysis.floor and samples is not None:
    low, high = analysis.floor
    lines.append(f"{fit.law.floor} by its profile likelihood: {low:.5g} to {high:.5g}.")
  return LawSection("Parameters", " ".join(lines), rows)


def _deviation(values: np.ndarray) -> float:
  with np.errstate(over="ignore"):  # of a parameter that some refits send to infinity
    return float(values.std())


def _size_exponent(theta: np.ndarray) -> np.ndarray:
  """Gives the exponent of the best size over compute where C = 6 N D."""
  _, _, _, alpha, beta = theta
  return np.asarray(beta / (alpha + beta))


def extrapolation(analysis: Analysis) -> LawSection:
  """Tells how well larger runs and other sizes are predicted by fits that did not see them."""
  rows = []
  if analysis.held is not None:
    rows.append(_held_row("larger runs", analysis.held))
  role = "size" if "size" in analysis.fit.points.values else "scale"
  for one in analysis.left_out:
    low, high = one.held.values[role].min(), one.held.values[role].max()
    name = one.held.names[role]
    which = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
    rows.append(_held_row(f"{name} {which}", one))
  text = "Relative errors of losses that a fit to the other runs predicts."
  if analysis.held is not None and analysis.held.bound is not None:
    which = "compute" if "compute" in analysis.fit.points.values else "scale"
    name = analysis.fit.points.names[which]
    text += f" The larger runs are those with {name} of {analysis.held.bound:.4g} and more."
  return LawSection("Hold-out", text if rows else "There are too few runs to hold any out.", rows)


def _held_row(which: str, held: Holdout) -> dict[str, str]:
  errors = held.log_errors
  return {
    "held out": which,
    "points": str(len(held.held)),
    "RMSE of log loss": f"{held.rmse:.5f}",
    "mean": f"{np.expm1(errors.mean()):+.2%}",
    "largest": f"{np.expm1(errors[np.abs(errors).argmax()]):+.2%}",
  }


def prediction(found: Mapping[str, Any]) -> LawSection:
  """Tables the loss of one more run."""
  row = {name: f"{value:.6g}" for name, value in found["at"].items()}
  row["predicted loss"] = f"{found['predicted']:.5g}"
  for key, heading in (("law", "interval of the law"), ("interval", "interval of a run")):
    if key in found:
      row[heading] = "{:.5g} to {:.5g}".format(*found[key])
  return LawSection("Prediction", "", [row])


def residuals(analysis: Analysis) -> LawSection:
  """Draws the fit, and tables how far thirds of the points are from it."""
  fit = analysis.fit
  role = fit.law.axes[-1]
  scale, errors = fit.points.values[role], fit.log_errors()
  rows = []
  for name, third in zip(_THIRDS, np.array_split(np.argsort(scale), 3), strict=True):
    if len(third):
      spread = errors[third]
      rows.append(
        {
          fit.points.names[role]: name,
          "points": str(len(third)),
          "mean": f"{np.expm1(spread.mean()):+.3%}",
          "root mean square": f"{np.sqrt((spread**2).mean()):.3%}",
        }
      )
  held = analysis.held.held if analysis.held and analysis.held.fit is fit else None
  figure = functools.partial(draw_fit, fit, analysis.samples, held)
  return LawSection("Fit and residuals", "Measured over predicted loss, by scale.", rows, figure)


def exponents(points: Points) -> LawSection:
  """Tables the exponents of loss, and of the error rate, along the frontier."""
  role = "compute" if "compute" in points.values else "scale"
  scale = points.values[role]
  rows = []
  for what in ("loss", "error"):
    if what in points.values:
      for place, exponent in zip(*local_exponents(scale, points.values[what]), strict=True):
        rows.append(
          {
            points.names[role]: f"{place:.3g}",
            "of": points.names[what],
            "exponent": f"{exponent:.4f}",
          }
        )
  text = (
    "-d log(value) / d log(scale) between runs that no cheaper one equals: where they shrink with "
    "the scale, no single power law holds."
  )
  return LawSection("Local exponents", text, rows)


def error_rates(points: Points) -> LawSection:
  """Tables how the error rate follows the loss."""
  fit = fit_error_rate(points)
  rows = [{"parameter": name, "value": f"{value:.6g}"} for name, value in fit.parameters.items()]
  off = np.sqrt((fit.log_errors() ** 2).mean())
  text = (
    f"{fit.law.formula}, L the {points.names['loss']}; root mean square of the error {off:.2%}."
  )
  return LawSection("Error rate by loss", text, rows)


def budgets(analysis: Analysis, shown: Budgets, drawn: Budgets, told: str) -> LawSection:
  """Tables the best sizes and amounts of data of budgets, and draws those of many.

  Args:
    analysis: analysis of a law of size and data.
    shown: best splits of the budgets that the table has.
    drawn: best splits of many budgets, ascending.
    told: sentence on how compute is counted.
  """
  points = analysis.fit.points
  names = points.names
  rows = []
  for i, compute in enumerate(shown.compute):
    row = {
      names["compute"]: f"{compute:.4g}",
      names["size"]: f"{shown.best.size[0, i]:.4g}",
      names["data"]: f"{shown.best.data[0, i]:.4g}",
      names["loss"]: f"{shown.best.loss[0, i]:.4f}",
    }
    for role, band in (("size", shown.size), ("data", shown.data), ("loss", shown.loss)):
      if band is not None:
        row[f"{names[role]}, interval"] = f"{band[0, i]:.4g} to {band[1, i]:.4g}"
    rows.append(row)
  bands = None if drawn.size is None or drawn.data is None else (drawn.size, drawn.data)
  found = fit_parabolas(points.values["size"], points.values["compute"], points.losses)
  line = fit_power_line(drawn.compute, drawn.best.size[0])
  told += f" The best {names['size']} grows as its power {line.exponent:.4f}."
  figure = functools.partial(draw_optimum, points, drawn.compute, drawn.best, bands, found)
  return LawSection("Best size for a budget", told, rows, figure)


def isoflop(points: Points) -> LawSection | None:
  """Draws loss against size for each budget; None where no budget has three sizes."""
  found = fit_parabolas(points.values["size"], points.values["compute"], points.losses)
  if not found:
    return None
  text = (
    "A parabola through the runs of each budget. Its lowest point is off by a factor that grows "
    "with the range of sizes; the law fitted to all runs has no such error."
  )
  return LawSection(
    "Loss against size", text, figure=functools.partial(draw_isoflop, points, found)
  )


def frontier(points: Points, drawn: Budgets) -> LawSection:
  """Draws loss against compute."""
  figure = functools.partial(draw_frontier, points, drawn.compute, drawn.best.loss[0], drawn.loss)
  return LawSection("Loss against compute", figure=figure)
