"""UperNet on made-up shapes, or on images and masks of your own: segmentation, end to end.

Question: does everything work that segmentation needs, from pairs of images and masks to mIoU?
Command:  ./hornet train --config=shapes_segmentation
          ./hornet train --config=shapes_segmentation:overfit
          ./hornet train --config=shapes_segmentation:variant=convnext_micro,fusion=7x7
Hardware: 2 CPU cores.
Measured: the first command, 83.2 % mean IoU on the 100 scenes it has not seen (32 minutes beside
other jobs); the second, 98.6 % on its eight images (two minutes).

Arguments: `variant` (`micro_7x7` is hornet_micro_7x7; other models of several levels by their whole
names), `fusion` (`conv`, or `7x7` or `gf` for a gnConv, as HorFPN), `overfit` for eight images that
are learned by heart, as a check, and `runlocal` for a few steps.

The official recipe for ADE20K in the small: random scales, crops, flips and colours, a power of
the learning rate, an auxiliary head.
"""

from hornet_jax.config import ConfigDict, base_config, model_name, parse_arg


def get_config(arg: str = "") -> ConfigDict:
  arguments = parse_arg(arg, variant="micro_7x7", fusion="conv", overfit=False, runlocal=False)
  config = base_config()
  config.task = "segmentation"
  config.epochs = 0.1 if arguments["runlocal"] else 100.0

  config.model.variant = model_name(arguments["variant"])
  config.model.drop_path_rate = 0.0

  config.data.dataset = "shapes"
  config.data.image_size = 128
  config.data.batch_size = 8
  config.data.eval_batch_size = 20
  config.data.flip_rate = 0.5
  config.data.mean = (0.5, 0.5, 0.5)
  config.data.std = (0.25, 0.25, 0.25)

  config.segmentation.channels = 24
  config.segmentation.fusion = arguments["fusion"]
  config.segmentation.auxiliary_channels = 16
  config.segmentation.long_side = 128
  config.segmentation.short_side = 128
  config.segmentation.ratios = (0.75, 1.5)

  config.optimizer.schedule = "poly"
  config.optimizer.learning_rate = 4e-3
  config.optimizer.final_learning_rate = 0.0
  config.optimizer.warmup_epochs = 0.02 if arguments["runlocal"] else 0.5

  config.ema.decay = 0.0

  config.log.every_steps = 100
  config.eval.every_epochs = 25.0
  config.checkpoint.every_steps = 1000
  if arguments["overfit"]:
    _learn_by_heart(config)
  return config


def _learn_by_heart(config: ConfigDict) -> None:
  """Eight images, a batch of all of them a step, as they are but for flips."""
  config.data.train_split = config.data.eval_split = "train[:8]"
  config.data.eval_batch_size = 8
  config.epochs = 800.0
  config.optimizer.learning_rate = 8e-3
  config.optimizer.warmup_epochs = 10.0
  config.segmentation.ratios = (1.0, 1.0)
  config.segmentation.photometric = False
  config.log.every_steps = 50
  config.eval.every_epochs = 200.0
