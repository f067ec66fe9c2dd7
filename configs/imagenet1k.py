"""HorNet on ImageNet-1K, as the official training record has it.

Question: does training from scratch reach the paper's accuracy?
Command:  ./hornet prepare imagenet2012 --archives=DIR
          ./hornet train --config=imagenet1k:variant=tiny_gf --workdir=gs://BUCKET/RUN
          --config.data.data_dir=gs://BUCKET/data reads the data from there, too.
Hardware: chips that divide the batch of 4,096 into whole mixing groups: at most 32 for tiny
          (groups of 128 images), 64 for small and base (groups of 64). On more chips a smaller
          --config.mix.group_size is another augmentation. --config.model.dtype=bfloat16 suits a
          TPU; the official runs are float32.
Paper:    top-1 of tiny 82.8 (7x7) and 83.0 (gf), small 83.8 and 84.0, base 84.2 and 84.3.
Ours:     not run.

Arguments: `variant` (tiny, small or base with _7x7 or _gf) and `runlocal`: the same run for a
minute on a laptop, with what `prepare imagenet2012 --generated --data_dir=D` makes.
"""

from hornet_jax.config import ConfigDict, base_config, choose, parse_arg, shrink

# Drop path, clip norm, mixing group and RandAugment by model.
# Source: official TRAINING.md.
_MODELS = {
  "tiny_7x7": (0.2, 100.0, 128, "rand-m9-mstd0.5-inc1"),
  "tiny_gf": (0.2, 1.0, 128, "rand-m9-mstd0.5-inc1"),
  "small_7x7": (0.4, 5.0, 64, "rand-m9-mstd0.5-inc1"),
  "small_gf": (0.4, 1.0, 64, "rand-m12-mstd0.5-inc1"),
  "base_7x7": (0.5, 5.0, 64, "rand-m9-mstd0.5-inc1"),
  "base_gf": (0.5, 1.0, 64, "rand-m15-mstd0.5-inc1"),
}


def get_config(arg: str = "") -> ConfigDict:
  arguments = parse_arg(arg, variant="tiny_7x7", runlocal=False)
  drop_path_rate, clip_norm, group_size, rand_augment = choose(
    "variant", arguments["variant"], _MODELS
  )
  config = base_config()
  config.model.variant = f"hornet_{arguments['variant']}"
  config.model.drop_path_rate = drop_path_rate
  config.data.dataset = "imagenet2012"
  config.data.rand_augment = rand_augment
  config.data.num_processes = 16
  config.mix.group_size = group_size
  config.optimizer.clip_norm = clip_norm
  if arguments["runlocal"]:
    shrink(config)
  return config
