"""HorNet on ImageNet-1K, as the official training record has it, and its baselines.

Question: does training from scratch reach the paper's accuracy?
Command:  ./hornet prepare imagenet2012 --archives=DIR
          ./hornet train --config=imagenet1k:variant=tiny_gf --workdir=gs://BUCKET/RUN
          --config.data.data_dir=gs://BUCKET/data reads the data from there, too.
Hardware: chips that divide the batch of 4,096 into whole mixing groups: at most 32 for tiny
          (groups of 128 images), 64 for small and base (groups of 64). On more chips a smaller
          --config.mix.group_size is another augmentation. --config.model.dtype=bfloat16 suits a
          TPU; the official runs are float32.
Paper:    top-1 of HorNet tiny 82.8 (7x7) and 83.0 (gf), small 83.8 and 84.0, base 84.2 and 84.3.
Ours:     not run.

Arguments: `variant` (tiny, small or base with _7x7 or _gf; other models by their whole names, see
docs/comparisons.md) and `runlocal`: the same run of the family's small model, for a minute on a
laptop, with what `prepare imagenet2012 --generated --data_dir=D` makes.

Other families get this very recipe, so that only the model differs, but for the drop path and the
clipping of their own official runs. ConvNeXt's record has the same settings throughout (its
isotropic model 50 epochs of warm-up). Swin and DeiT were trained with batches of 1,024 at 1e-3,
which is as much an image, DeiT with 5 epochs of warm-up and repeated augmentation, which is not
here. The isotropic HorNets and the ladder have settings of ours.
"""

from hornet_jax.config import (
  ConfigDict,
  base_config,
  choose,
  model_name,
  parse_arg,
  patch_size,
  shrink,
)

_RAND_AUGMENT = "rand-m9-mstd0.5-inc1"
# Drop path, clip norm (0 for none), mixing group and RandAugment by model.
_MODELS = {
  # Source: official TRAINING.md.
  "tiny_7x7": (0.2, 100.0, 128, _RAND_AUGMENT),
  "tiny_gf": (0.2, 1.0, 128, _RAND_AUGMENT),
  "small_7x7": (0.4, 5.0, 64, _RAND_AUGMENT),
  "small_gf": (0.4, 1.0, 64, "rand-m12-mstd0.5-inc1"),
  "base_7x7": (0.5, 5.0, 64, _RAND_AUGMENT),
  "base_gf": (0.5, 1.0, 64, "rand-m15-mstd0.5-inc1"),
  # Ours: as ConvNeXt's isotropic model, but for the clipping of HorNet-T.
  "iso_small_7x7": (0.1, 100.0, 128, _RAND_AUGMENT),
  "iso_small_gf": (0.1, 1.0, 128, _RAND_AUGMENT),
  # Ours: as HorNet-T.
  "ladder_*": (0.2, 100.0, 128, _RAND_AUGMENT),
  # Source: official ConvNeXt, TRAINING.md and main.py.
  "convnext_tiny": (0.1, 0.0, 128, _RAND_AUGMENT),
  "convnext_small": (0.4, 0.0, 128, _RAND_AUGMENT),
  "convnext_base": (0.5, 0.0, 128, _RAND_AUGMENT),
  "convnext_large": (0.5, 0.0, 64, _RAND_AUGMENT),
  "convnext_iso_small": (0.1, 0.0, 128, _RAND_AUGMENT),
  # Source: official Swin Transformer, config.py and configs/swin.
  "swin_tiny": (0.2, 5.0, 128, _RAND_AUGMENT),
  "swin_small": (0.3, 5.0, 128, _RAND_AUGMENT),
  "swin_base": (0.5, 5.0, 128, _RAND_AUGMENT),
  # Source: official DeiT, main.py; its base model is ViT-B/16.
  "deit_small": (0.1, 0.0, 128, _RAND_AUGMENT),
  "vit_base": (0.1, 0.0, 128, _RAND_AUGMENT),
}


def get_config(arg: str = "") -> ConfigDict:
  arguments = parse_arg(arg, variant="tiny_7x7", runlocal=False)
  variant = model_name(arguments["variant"])
  # All rungs of the ladder share a recipe.
  known = "ladder_*" if variant.startswith("ladder_") else variant.removeprefix("hornet_")
  drop_path_rate, clip_norm, group_size, rand_augment = choose("variant", known, _MODELS)
  config = base_config()
  config.model.variant = variant
  config.model.patch_size = patch_size(variant, 4)
  config.model.drop_path_rate = drop_path_rate
  config.data.dataset = "imagenet2012"
  config.data.rand_augment = rand_augment
  config.data.num_processes = 16
  config.mix.group_size = group_size
  config.optimizer.clip_norm = clip_norm
  if arguments["runlocal"]:
    shrink(config)
  return config
