"""The picture of a study: every seed as a dot, every mean with its deviation."""

import pathlib
from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from hornet_jax.studies.summary import ArmResult

_DOT, _MEAN, _GRID = "#93c5fd", "#1d4ed8", "#e4e4e7"


def draw_arms(arms: Mapping[str, ArmResult], title: str, path: pathlib.Path) -> None:
  """Draws the scores of the arms, the first on top.

  Args:
    arms: name -> results.
    title: heading.
    path: PNG file to write.
  """
  figure = Figure(figsize=(7.0, 1.2 + 0.36 * len(arms)), layout="constrained", dpi=120)
  axes = figure.add_subplot()
  for place, arm in enumerate(arms.values()):
    axes.scatter(arm.scores, [place] * len(arm.scores), s=26, color=_DOT, zorder=2)
    axes.errorbar(
      arm.mean, place, xerr=arm.deviation, fmt="|", ms=12, mew=2, color=_MEAN, capsize=4, zorder=3
    )
  axes.set_yticks(range(len(arms)), list(arms))
  axes.invert_yaxis()
  axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
  axes.set_xlabel("test accuracy: dots are seeds, bars mean and standard deviation")
  axes.grid(axis="x", color=_GRID, zorder=0)
  axes.spines[["top", "right", "left"]].set_visible(False)
  axes.tick_params(axis="y", length=0)
  axes.set_title(title, fontsize=10, loc="left")
  figure.savefig(path)
