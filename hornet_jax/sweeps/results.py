"""What came of a sweep, as one tidy table."""

import csv
import io

from optuna.trial import TrialState

from hornet_jax.studies.results import COLUMNS
from hornet_jax.sweeps.queue import Queue
from hornet_jax.sweeps.worker import ARM, ROW

SWEEP_COLUMNS = (COLUMNS[0], "arm", *COLUMNS[1:])
"""The columns of a table of trials, and the arm, which is a name in one sweep."""


def results_csv(queue: Queue) -> str:
  """Writes the complete trials of a queue as CSV, a row each, sorted by their hashes."""
  rows = [
    {**entry.user_attrs[ROW], "arm": entry.user_attrs[ARM]}
    for _, entry in sorted(queue.states().items())
    if entry.state == TrialState.COMPLETE
  ]
  text = io.StringIO()
  writer = csv.DictWriter(text, SWEEP_COLUMNS, lineterminator="\n")
  writer.writeheader()
  writer.writerows(rows)
  return text.getvalue()
