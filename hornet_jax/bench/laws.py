"""How long the bootstrap of a scaling law takes, against SciPy fitting one sample after another."""

import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import optimize

from hornet_jax.bench.result import Result
from hornet_jax.bench.rounds import ratio, time_interleaved
from hornet_jax.laws import HUBER, SQUARES, Criterion, Fit, bootstrap, fit, get_law, make_points

BASELINE = "one by one"
_PLANTED = np.array([1.8, 480.0, 2100.0, 0.35, 0.37])
_NOISE = 0.005
_SMALLEST, _LARGEST = (5e7, 1e9), (1.5e10, 3e11)  # size and data
_ONE_BY_ONE = 20  # samples of a round


def time_laws(points: int, samples: int, rounds: int) -> Result:
  """Fits Chinchilla's law to runs that it made itself, and bootstraps it in either way.

  Args:
    points: number of runs, whose sizes and data are drawn.
    samples: number of bootstrap samples of a round.
    rounds: number of interleaved rounds.
  """
  law, rng = get_law("chinchilla"), np.random.default_rng(0)
  x = np.exp(rng.uniform(np.log(_SMALLEST), np.log(_LARGEST), (points, 2))).T
  losses = law.predict(_PLANTED, x) * np.exp(_NOISE * rng.normal(size=points))
  runs = make_points(size=x[0], data=x[1], loss=losses)
  rows: list[dict[str, Any]] = []
  for name, criterion in (("squares", SQUARES), ("Huber's loss", HUBER)):
    start = time.process_time()
    found = fit(law, runs, criterion)
    fitting = time.process_time() - start
    calls: dict[str, Callable[[], Any]] = {
      BASELINE: functools.partial(_one_by_one, found),
      "at once": functools.partial(bootstrap, found, samples),
    }
    counts = {BASELINE: _ONE_BY_ONE, "at once": samples}
    # Of the process, on all cores: other jobs of the machine change them little.
    seconds = time_interleaved(calls, rounds, time.process_time)
    each = {by: [second / counts[by] for second in seconds[by]] for by in calls}
    rows += [
      {
        "criterion": name,
        "fit, CPU-s": fitting,
        "samples": by,
        "CPU-ms a sample": 1e3 * statistics.median(each[by]),
        f"CPU-s for {samples:,}": samples * statistics.median(each[by]),
        f"to {BASELINE}": ratio(each[BASELINE], each[by]),
      }
      for by in calls
    ]
  title = f"Bootstrap of Chinchilla's law, {points:,} runs, {len(found.ends.objective)} starts"
  notes = (f"{BASELINE}: BFGS of SciPy from the fit, with the same derivatives.",)
  return Result(title, rows, notes)


def _one_by_one(fit: Fit) -> np.ndarray:
  """Fits a few samples, one after another, as published programs do."""
  rng = np.random.default_rng(0)
  count = len(fit.points)
  start = np.array([*np.log(fit.theta[:3]), *fit.theta[3:]])
  found = []
  for _ in range(_ONE_BY_ONE):
    weights = rng.multinomial(count, np.full(count, 1 / count)).astype(np.float64)
    target = functools.partial(_target, fit, fit.criterion, weights)
    found.append(optimize.minimize(target, start, jac=True, method="BFGS").x)
  return np.stack(found)


def _target(
  fit: Fit, criterion: Criterion, weights: np.ndarray, place: np.ndarray
) -> tuple[float, np.ndarray]:
  theta = np.array([*np.exp(place[:3]), *place[3:]])
  value, slopes = fit.law.value_and_slopes(theta, fit.x)
  residuals = criterion.residuals(value, fit.points.losses)
  slopes = criterion.by_residual(slopes * [*theta[:3], 1, 1], value)
  # Over the sum at the fit: BFGS stops at once at sums of 1e-3.
  objective = float(criterion.objective(residuals, weights)) / fit.objective
  gradient = np.einsum("n,np->p", weights * criterion.slope(residuals), slopes)
  return objective, gradient / fit.objective
