"""Any HorNet on images of your own, from published weights or from scratch.

Question: what does HorNet make of my photos?
Command:  ./hornet prepare folder --path=PHOTOS --name=my_photos
          ./hornet train --config=finetune:dataset=my_photos --init=official:hornet_tiny_gf
          --init takes a file or a workdir as well; without it the weights are random.
          ./hornet predict OTHER_PHOTOS --workdir=workdir/finetune-hornet_tiny_gf --csv=table.csv
Hardware: one device; on several, and for many images, choose --config.data.batch_size yourself.
Time and accuracy: those of your images.

Batch, epochs, warm-up, learning rate and intervals suit the number of images, for ten a class as
for a million; channels, mean and standard deviation suit the images themselves. The first lines of
a run say how, and --config.KEY=VALUE sets each of them.

Arguments: `dataset` and `variant` (`tiny_gf` is hornet_tiny_gf; other models by their whole names).
"""

from hornet_jax.config import (
  FIT,
  FIT_TEXT,
  ConfigDict,
  base_config,
  model_name,
  parse_arg,
  patch_size,
)


def get_config(arg: str = "") -> ConfigDict:
  arguments = parse_arg(arg, variant="tiny_gf", dataset="my_photos")
  config = base_config()
  config.epochs = float(FIT)
  config.model.variant = model_name(arguments["variant"])
  config.model.patch_size = patch_size(config.model.variant, 4)
  config.model.drop_path_rate = 0.1

  config.data.dataset = arguments["dataset"]
  config.data.image_size = 224
  config.data.channels = FIT
  config.data.max_value = float(FIT)
  config.data.max_pixels = FIT
  config.data.mean = config.data.std = ()
  config.data.rand_augment = FIT_TEXT
  config.data.batch_size = FIT
  config.data.eval_batch_size = FIT

  # As in the official fine-tuning, nothing is mixed.
  config.mix.mixup_alpha = 0.0
  config.mix.cutmix_alpha = 0.0
  config.mix.group_size = FIT

  config.optimizer.learning_rate = float(FIT)
  config.optimizer.warmup_epochs = float(FIT)
  config.optimizer.layer_decay = float(FIT)

  config.log.every_steps = FIT
  config.eval.every_epochs = float(FIT)
  return config
