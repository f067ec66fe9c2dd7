"""Names of numbers of an evaluation, and the one by which checkpoints are ranked."""

from hornet_jax.train.task import Task

EVAL, EVAL_EMA = "eval", "eval_ema"
"""What stands before the names of metrics of the weights, and of their moving average."""


def ranking_key(task: Task | type[Task]) -> str:
  """Names the metric by which the checkpoints of a run are ranked.

  It is that of the averaged weights, on the evaluation split.
  """
  return f"{EVAL_EMA}/{task.primary}"
