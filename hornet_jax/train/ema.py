"""The moving average of the parameters, which is what gets evaluated and kept."""

from typing import Any

import optax


def update_ema(ema: Any, params: Any, decay: float) -> Any:
  """decay * ema + (1 - decay) * params, for trees of arrays.

  Source: timm 0.4.12 `ModelEma`: a copy of the initial weights at the start, then one
  update after each step, without bias correction.
  """
  return optax.incremental_update(params, ema, 1 - decay)


def fitted_decay(decay: float, reference_steps: int, total_steps: int) -> float:
  """The decay that averages over the same share of a run of another length.

  The official 0.9999 belongs to 300 epochs of 312 steps: it averages over about the
  last tenth. Kept in a short run, most of the average would still be the initial
  weights. decay^(reference / total) keeps the share.

  Deviation: the official decay is the same for every length; so it is here where
  `total_steps` equals `reference_steps`, or that is 0.

  Args:
    decay: d of ema = d ema + (1 - d) params, in [0, 1).
    reference_steps: length of the run that `decay` was chosen for; 0 to use it as is.
    total_steps: length of this run.
  """
  return decay ** (reference_steps / total_steps) if reference_steps else decay
