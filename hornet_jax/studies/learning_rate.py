"""The learning rate of each family of a study is the best of several, and never the last tried."""

from collections.abc import Mapping

from hornet_jax.studies.results import Row
from hornet_jax.studies.study import Study

_FACTOR = 2.0  # from one learning rate to the next, beyond those that a study names
_BEYOND = 3  # such rates, to both sides together


def rates_to_try(study: Study, results: Mapping[str, Row], family: str) -> list[float]:
  """Lists the learning rates to try: the study's, and one beyond while the best is at an end.

  Args:
    study: study that the family is of.
    results: rows of finished trials.
    family: name of the family.
  """
  rates = list(study.learning_rates)
  for _ in range(_BEYOND):
    scores = [_score(study, results, family, rate) for rate in rates]
    if None in scores:
      break  # first those
    best = max(range(len(rates)), key=lambda i: scores[i] or 0.0)
    if best == 0:
      rates.insert(0, rates[0] / _FACTOR)
    elif best == len(rates) - 1:
      rates.append(rates[-1] * _FACTOR)
    else:
      break
  return rates


def best_rate(study: Study, results: Mapping[str, Row], family: str) -> float:
  """Returns the learning rate with the best score so far; the first one where there is none."""
  rates = rates_to_try(study, results, family)
  return max(rates, key=lambda rate: _score(study, results, family, rate) or 0.0)


def _score(study: Study, results: Mapping[str, Row], family: str, rate: float) -> float | None:
  """Gives the score of a learning rate: 0 where the run failed, None where there was none."""
  row = results.get(study.tuning_trial(family, rate).name)
  return None if row is None else float(row["score"] or 0)
