"""Any model on Fashion-MNIST in minutes on a CPU: the recipe under which small models are compared.

Question: asked by the studies in experiments/; this is what all their runs have in common.
Command:  ./hornet prepare fashion_mnist
          ./hornet train --config=comparison:variant=convnext_micro
Hardware: 1 or 2 CPU cores.
Time and accuracy: experiments/families/README.md.

Arguments: `variant` (`micro_gf` is hornet_micro_gf; other models by their whole names), and
`runlocal` for a few steps.

20,000 images, five passes, flips and label smoothing, and nothing that favours one architecture:
no drop path, no mixing, no layer decay. What differs from run to run is the model, the learning
rate and the seed.
"""

from hornet_jax.config import ConfigDict, base_config, model_name, parse_arg, patch_size


def get_config(arg: str = "") -> ConfigDict:
  arguments = parse_arg(arg, variant="micro_7x7", runlocal=False)
  config = base_config()
  config.epochs = 0.05 if arguments["runlocal"] else 5.0

  config.model.variant = model_name(arguments["variant"])
  # 28x28 pixels: four stages of 14, 7, 3 and 1 a side, or one of 7.
  config.model.patch_size = patch_size(config.model.variant, 2)
  config.model.drop_path_rate = 0.0

  config.data.dataset = "fashion_mnist"
  config.data.train_split = "train[:20000]"
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

  config.mix.rate = 0.0

  config.optimizer.learning_rate = 4e-3
  config.optimizer.warmup_epochs = 0.01 if arguments["runlocal"] else 0.5

  config.log.every_steps = 100
  config.eval.every_epochs = 5.0
  config.checkpoint.every_steps = 500
  config.checkpoint.keep = 1
  return config
