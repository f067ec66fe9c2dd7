"""This module runs the trials of a study: first learning rates, then every arm and seed."""

import concurrent.futures
import pathlib
import queue
from collections.abc import Callable, Mapping, Sequence, Set

from etils import epath

from hornet_jax.studies.core_shares import core_shares, keep_to
from hornet_jax.studies.learning_rate import best_rate, rates_to_try
from hornet_jax.studies.results import Row, add_result, read_results
from hornet_jax.studies.row import describe_result
from hornet_jax.studies.study import Study
from hornet_jax.studies.trial import Trial, run_trial

Labelled = tuple[str, Trial]
"""A trial with what it is called in the lines that are told."""


class Runner:
  """A `Runner` runs trials that have no result yet, several at once.

  Attributes:
    results: rows by the names of the trials.
  """

  def __init__(
    self,
    table: epath.Path,
    folder: pathlib.Path,
    workers: int,
    tell: Callable[[str], None],
  ):
    """Reads what is there already.

    Args:
      table: CSV file of the results.
      folder: folder of the trials' workdirs.
      workers: number of trials at once; each has its share of this machine's cores.
      tell: function that prints a line.
    """
    self._table, self._folder, self._workers, self._tell = table, folder, workers, tell
    self.results = read_results(table)

  def left(self, trials: Sequence[Labelled]) -> list[Labelled]:
    """Lists those that have no result yet, each once."""
    by_name = {trial.name: (label, trial) for label, trial in trials}
    return [entry for name, entry in by_name.items() if name not in self.results]

  def run(self, trials: Sequence[Labelled]) -> None:
    """Runs those that have no result yet, and tells a line of each."""
    left = self.left(trials)
    shares: queue.Queue[Set[int]] = queue.Queue()
    for share in core_shares(self._workers):
      shares.put(share)
    with concurrent.futures.ThreadPoolExecutor(self._workers) as pool:
      futures = {pool.submit(self._run, trial, shares): label for label, trial in left}
      try:
        for done, future in enumerate(concurrent.futures.as_completed(futures), start=1):
          row = future.result()
          self.results[row["trial"]] = row
          score = f"{float(row['score']):.2%}" if row["score"] else row["reason"]
          self._tell(
            f"{done}/{len(left)} {futures[future]}: {score} ({float(row['seconds']):.0f} s)"
          )
      except BaseException:
        pool.shutdown(cancel_futures=True, wait=False)
        raise

  def _run(self, trial: Trial, shares: "queue.Queue[Set[int]]") -> Row:
    share = shares.get()
    try:
      keep_to(share)
      workdirs = epath.Path(self._folder)
      result = run_trial(trial, workdirs, self._folder)
      row = describe_result(trial, result, workdirs / trial.name)
      add_result(self._table, row)
      return row
    finally:
      shares.put(share)


def run_study(study: Study, runner: Runner) -> None:
  """Runs what is left of a study: learning rates first, then all arms of a seed after another."""
  while tuning := runner.left(tuning_trials(study, runner.results)):
    runner.run(tuning)
  runner.run(arm_trials(study, runner.results))


def tuning_trials(study: Study, results: Mapping[str, Row]) -> list[Labelled]:
  """Lists the trials that tell the learning rates, as far as is known which are to be tried."""
  return [
    (f"{family}, learning rate {rate:g}", study.tuning_trial(family, rate))
    for family in study.families
    for rate in rates_to_try(study, results, family)
  ]


def arm_trials(study: Study, results: Mapping[str, Row]) -> list[Labelled]:
  """Lists the trials of the arms, at the best learning rates that are known."""
  rates = {family: best_rate(study, results, family) for family in study.families}
  return [
    (f"{name}, seed {seed}", study.trial(name, rates[arm.family], seed))
    for seed in study.seeds
    for name, arm in study.arms.items()
  ]
