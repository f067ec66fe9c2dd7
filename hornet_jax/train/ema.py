"""The moving average of the parameters, which is what gets evaluated and kept."""


def fitted_decay(decay: float, reference_steps: int, total_steps: int) -> float:
  """The decay that averages over the same share of a run of another length.

  The official 0.9999 belongs to 300 epochs of 312 steps: it averages over about the
  last tenth. Kept in a short run, most of the average would still be the initial
  weights. decay^(reference / total) keeps the share.

  Args:
    decay: d of ema = d ema + (1 - d) params, in [0, 1).
    reference_steps: length of the run that `decay` was chosen for; 0 to use it as is.
    total_steps: length of this run.
  """
  return decay ** (reference_steps / total_steps) if reference_steps else decay
