"""`runlocal` makes an ImageNet config small enough for a laptop."""

from ml_collections import ConfigDict


def shrink(config: ConfigDict) -> None:
  """Makes an ImageNet run one of a minute on a laptop, with generated archives.

  The small model has the same kind of filters, and the recipe stays but for its sizes.
  """
  filters = "gf" if "_gf" in config.model.variant else "7x7"
  config.model.variant = f"hornet_micro_{filters}"
  config.model.patch_size = 2
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
