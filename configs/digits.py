"""HorNet on scikit-learn's handwritten digits: the whole program in minutes on a CPU.

Question: does everything work, end to end, on real images?
Command:  ./hornet train
          ./hornet train --config=digits:variant=micro_gf
Hardware: 2 CPU cores.
Time and accuracy: experiments/digits/README.md.

Arguments: `variant` (`micro_gf` is hornet_micro_gf; other models by their whole names), and
`runlocal` for two passes only.
"""

from hornet_jax.config import ConfigDict, base_config, model_name, parse_arg, patch_size


def get_config(arg: str = "") -> ConfigDict:
  arguments = parse_arg(arg, variant="micro_7x7", runlocal=False)
  config = base_config()
  config.epochs = 2.0 if arguments["runlocal"] else 32.0

  config.model.variant = model_name(arguments["variant"])
  # 8x8 scans, enlarged: stages of 16, 8, 4 and 2 pixels a side.
  config.model.patch_size = patch_size(config.model.variant, 2)
  config.model.drop_path_rate = 0.1

  config.data.dataset = "digits"
  config.data.image_size = 32
  config.data.batch_size = 64
  config.data.eval_batch_size = 72
  config.data.crop = "padded"
  config.data.crop_padding = 3
  config.data.flip_rate = 0.0
  config.data.rand_augment = ""
  config.data.erasing_rate = 0.0
  config.data.eval_crop_fraction = 1.0
  config.data.mean = (0.5, 0.5, 0.5)
  config.data.std = (0.5, 0.5, 0.5)

  config.mix.rate = 0.0

  config.optimizer.learning_rate = 3e-3
  config.optimizer.warmup_epochs = 0.25 if arguments["runlocal"] else 4.0

  config.log.every_steps = 22
  config.eval.every_epochs = 5.0
  config.checkpoint.every_steps = 220
  return config
