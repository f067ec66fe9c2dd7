"""What a study found: a table of means and deviations, and the choice of the learning rates."""

import statistics
from collections.abc import Mapping
from typing import NamedTuple

from hornet_jax.studies.learning_rate import best_rate, rates_to_try
from hornet_jax.studies.markdown import markdown_table
from hornet_jax.studies.results import Row
from hornet_jax.studies.study import Study


class ArmResult(NamedTuple):
  """An `ArmResult` is what the seeds of one arm gave.

  Attributes:
    scores: scores in the order of the seeds, as shares.
    params: number of parameters.
    macs: MACs of one image.
    learning_rate: learning rate that it was trained with.
  """

  scores: list[float]
  params: int
  macs: int
  learning_rate: float

  @property
  def mean(self) -> float:
    """Gives the mean of the scores."""
    return statistics.fmean(self.scores)

  @property
  def deviation(self) -> float:
    """Gives their standard deviation, of a sample; 0 for a single one."""
    return statistics.stdev(self.scores) if len(self.scores) > 1 else 0.0


def arm_results(study: Study, results: Mapping[str, Row]) -> dict[str, ArmResult]:
  """Collects the results of the arms; an arm of which no seed is finished is left out."""
  rates = {family: best_rate(study, results, family) for family in study.families}
  found = {}
  for name, arm in study.arms.items():
    rate = rates[arm.family]
    rows = [results.get(study.trial(name, rate, seed).name) for seed in study.seeds]
    done = [row for row in rows if row and row["score"]]
    if done:
      scores = [float(row["score"]) for row in done]
      found[name] = ArmResult(scores, int(done[0]["params_with_head"]), int(done[0]["macs"]), rate)
  return found


def results_table(study: Study, arms: Mapping[str, ArmResult]) -> str:
  """Writes means and deviations as a table in Markdown; what is not run has no row."""
  rows = [
    {
      "arm": name,
      "parameters": f"{arm.params:,}",
      "MACs": f"{arm.macs:,}",
      "learning rate": f"{arm.learning_rate:g}",
      "test accuracy": f"{arm.mean:.2%}",
      "deviation": f"{arm.deviation:.2%}",
      "seeds": f"{len(arm.scores)} of {len(study.seeds)}",
    }
    for name, arm in arms.items()
  ]
  return markdown_table(rows)


def learning_rates_table(study: Study, results: Mapping[str, Row]) -> str:
  """Writes the score of each learning rate that was tried, a row for each family, in Markdown."""
  tried: dict[str, dict[float, str]] = {family: {} for family in study.families}
  for family, scores in tried.items():
    for rate in rates_to_try(study, results, family):
      if row := results.get(study.tuning_trial(family, rate).name):
        scores[rate] = f"{float(row['score']):.2%}" if row["score"] else "failed"
  rates = sorted({rate for scores in tried.values() for rate in scores})
  rows = [
    {"family": family, **{f"{rate:g}": scores.get(rate, "") for rate in rates}}
    for family, scores in tried.items()
  ]
  return markdown_table(rows)
