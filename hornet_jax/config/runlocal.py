"""`runlocal` makes an ImageNet config small enough for a laptop."""

import re

from ml_collections import ConfigDict

from hornet_jax.config.arguments import patch_size
from hornet_jax.errors import InputError


def shrink(config: ConfigDict) -> None:
  """Makes an ImageNet run one of a minute on a laptop, with generated archives.

  The small model is of the same family and kind, and the recipe stays but for its sizes.

  Raises:
    InputError: if the model's family has no small one.
  """
  config.model.variant = _small_name(config.model.variant)
  config.model.patch_size = patch_size(config.model.variant, 2)
  config.epochs = 4.0
  config.optimizer.warmup_epochs = min(config.optimizer.warmup_epochs, 1.0)
  config.data.image_size = 32
  config.data.batch_size = 32
  config.data.eval_batch_size = 25
  config.data.num_threads = 2
  config.data.num_processes = 0
  config.mix.group_size = 8
  config.log.every_steps = 5
  config.eval.every_epochs = 2.0


def _small_name(variant: str) -> str:
  """Names the small model of a family: `hornet_base_gf_img384` becomes `hornet_micro_gf`."""
  from hornet_jax.models import VARIANTS  # late: config files are listed without Flax

  name = re.sub(r"_img\d+$", "", variant)
  small, sizes = re.subn(r"_(tiny|small|base|large)(?=_|$)", "_micro", name)
  if not sizes:
    family, _, kind = name.partition("_")
    small = f"{family}_micro_{kind}"
  if small not in VARIANTS:
    raise InputError(
      f"`runlocal` needs a small model of the family: expected {small}, which is not registered. "
      "Hint: leave `runlocal` out."
    )
  return small
