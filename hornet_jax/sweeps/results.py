"""What came of a sweep, as one tidy table."""

import csv
import io

from optuna.trial import TrialState

from hornet_jax.studies.results import COLUMNS
from hornet_jax.sweeps.queue import Queue
from hornet_jax.sweeps.worker import ARM, BRANCH_STEP, ROW, RUN

SWEEP_COLUMNS = (COLUMNS[0], "arm", RUN, BRANCH_STEP, *COLUMNS[1:])
"""The columns of a table of trials, and what is of one sweep.

That is the arm, a name; the trial whose run has the first steps, which is another one for a branch;
and their number, empty where the trial has its own.
"""


def results_csv(queue: Queue) -> str:
  """Writes the complete trials of a queue as CSV, a row each, sorted by their hashes."""
  rows = [
    {RUN: name, **entry.user_attrs[ROW], "arm": entry.user_attrs[ARM]}
    for name, entry in sorted(queue.states().items())
    if entry.state == TrialState.COMPLETE
  ]
  text = io.StringIO()
  writer = csv.DictWriter(text, SWEEP_COLUMNS, lineterminator="\n")
  writer.writeheader()
  writer.writerows(rows)
  return text.getvalue()
