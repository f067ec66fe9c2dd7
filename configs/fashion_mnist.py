"""HorNet on Fashion-MNIST, from a folder of image files, with mixup and averaged weights.

Question: does a run on somebody's own folder of images work, with the training options on?
Command:  see experiments/fashion_mnist/README.md, which makes the folder.
          ./hornet train --config=fashion_mnist
          The same without a folder: `./hornet prepare fashion_mnist`, then
          ./hornet train --config=fashion_mnist:dataset=fashion_mnist
Hardware: 2 CPU cores.
Time and accuracy: experiments/fashion_mnist/README.md.

Arguments: `variant` (`micro_gf` is hornet_micro_gf; other models by their whole names), `dataset`,
and `runlocal` for a short run.
"""

from hornet_jax.config import ConfigDict, base_config, model_name, parse_arg, patch_size


def get_config(arg: str = "") -> ConfigDict:
  arguments = parse_arg(arg, variant="micro_7x7", dataset="fashion_mnist_folder", runlocal=False)
  config = base_config()
  config.epochs = 0.1 if arguments["runlocal"] else 12.0

  config.model.variant = model_name(arguments["variant"])
  # 28x28 pixels: stages of 14, 7, 3 and 1 a side.
  config.model.patch_size = patch_size(config.model.variant, 2)
  config.model.drop_path_rate = 0.05

  config.data.dataset = arguments["dataset"]
  config.data.image_size = 28
  config.data.batch_size = 64
  config.data.eval_batch_size = 250
  config.data.crop = "padded"
  config.data.flip_rate = 0.5
  config.data.rand_augment = ""
  config.data.erasing_rate = 0.0
  config.data.eval_crop_fraction = 1.0
  config.data.mean = (0.286, 0.286, 0.286)
  config.data.std = (0.353, 0.353, 0.353)

  # Twelve passes are few: mild mixing.
  config.mix.mixup_alpha = 0.2
  config.mix.cutmix_alpha = 0.0
  config.mix.group_size = 32

  config.optimizer.learning_rate = 6e-3
  config.optimizer.warmup_epochs = 0.02 if arguments["runlocal"] else 1.0

  config.log.every_steps = 200
  config.eval.every_epochs = 1.0
  config.checkpoint.every_steps = 1000
  return config
