"""The official runs on ImageNet, as the training record has them."""

from collections.abc import Mapping
from typing import Any

from hornet_jax.config.recipe import ON_IMAGENET_22K, TRANSFORMS, Recipe

_DEVIATIONS = (
  "gradients are clipped by limit / norm, officially by limit / (norm + 1e-6)",
  "the decay of the averaged weights is fitted to the length of a run that has other than "
  "ema.reference_steps steps; officially it is constant",
  "the shuffled stream runs on across epochs; officially what is left of an epoch, less than a "
  "batch, is not used",
  "an update that is not finite is skipped, officially the run ends",
  "one stream of random numbers for the global batch, officially one for each GPU",
  "evaluation counts every image once, officially the last batch of a GPU repeats some",
)
# Source: official main.py, its defaults.
_EVERYWHERE: dict[str, Any] = {
  "seed": 0,
  "model.fields": "",
  "model.patch_size": 4,
  "model.dtype": "float32",
  "model.global_filter": TRANSFORMS,
  "data.train_split": "",  # all of it
  "data.crop": "random_resized",
  "data.crop_scale": [0.08, 1.0],
  "data.crop_aspect": [3 / 4, 4 / 3],
  "data.flip_rate": 0.5,
  "data.erasing_rate": 0.25,
  "data.rand_augment": "rand-m9-mstd0.5-inc1",
  "data.eval_crop_fraction": 0.875,
  "data.eval_warp": False,
  "data.mean": [0.485, 0.456, 0.406],
  "data.std": [0.229, 0.224, 0.225],
  "mix.mixup_alpha": 0.8,
  "mix.cutmix_alpha": 1.0,
  "mix.rate": 1.0,
  "mix.switch_rate": 0.5,
  "optimizer.final_learning_rate": 1e-6,
  "optimizer.b1": 0.9,
  "optimizer.b2": 0.999,
  "optimizer.eps": 1e-8,
  "optimizer.mu_dtype": "float32",
  "optimizer.layer_decay": 1.0,
  "optimizer.accumulation_steps": 1,
  "optimizer.clip_each_micro_step": False,
  "optimizer.freeze_backbone": False,
  "init.checkpoint": "",
  "loss.label_smoothing": 0.1,
  "ema.decay": 0.9999,
}
_IMAGENET_1K = _EVERYWHERE | {
  "epochs": 300.0,
  "data.image_size": 224,
  "data.batch_size": 4096,
  "optimizer.learning_rate": 4e-3,
  "optimizer.warmup_epochs": 20.0,
  "optimizer.weight_decay": 0.05,
  "ema.reference_steps": 93_600,  # its length: the decay is used as it is
}
_IMAGENET_22K = _IMAGENET_1K | {
  "epochs": 90.0,
  "optimizer.warmup_epochs": 5.0,
  "data.train_split": "train",
  "optimizer.weight_decay": 0.1,
  "ema.decay": 0.0,
}
_FINE_TUNING = _EVERYWHERE | {
  "epochs": 30.0,
  "data.image_size": 384,
  "data.batch_size": 512,
  "data.eval_warp": True,
  "mix.mixup_alpha": 0.0,
  "mix.cutmix_alpha": 0.0,
  "optimizer.learning_rate": 5e-5,
  "optimizer.warmup_epochs": 0.0,
  "optimizer.weight_decay": 1e-8,
  "optimizer.layer_decay": 0.7,
  "init.checkpoint": ON_IMAGENET_22K,
  "ema.reference_steps": 0,
}
_TWO_PARTS = {"optimizer.accumulation_steps": 2, "optimizer.clip_each_micro_step": True}


def _run(
  common: dict[str, Any],
  variant: str,
  drop_path_rate: float,
  clip_norm: float,
  group_size: int,
  others: Mapping[str, Any] | None = None,
) -> Recipe:
  settings = common | {
    "model.variant": f"hornet_{variant}",
    "model.drop_path_rate": drop_path_rate,
    "optimizer.clip_norm": clip_norm,
    "mix.group_size": group_size,
  }
  dataset = "imagenet22k" if common is _IMAGENET_22K else "imagenet2012"
  return Recipe(f"hornet_{variant}", dataset, settings | dict(others or {}), _DEVIATIONS)


# Source: official TRAINING.md. The group that is mixed is the batch of one GPU.
IMAGENET_RECIPES = (
  _run(_IMAGENET_1K, "tiny_7x7", 0.2, 100.0, 128),
  _run(_IMAGENET_1K, "tiny_gf", 0.2, 1.0, 128),
  _run(_IMAGENET_1K, "small_7x7", 0.4, 5.0, 64, _TWO_PARTS),
  _run(
    _IMAGENET_1K,
    "small_gf",
    0.4,
    1.0,
    64,
    {**_TWO_PARTS, "data.rand_augment": "rand-m12-mstd0.5-inc1"},
  ),
  _run(_IMAGENET_1K, "base_7x7", 0.5, 5.0, 64, _TWO_PARTS),
  _run(
    _IMAGENET_1K,
    "base_gf",
    0.5,
    1.0,
    64,
    {**_TWO_PARTS, "data.rand_augment": "rand-m15-mstd0.5-inc1"},
  ),
  _run(_IMAGENET_22K, "large_7x7", 0.2, 5.0, 32, _TWO_PARTS),
  _run(_IMAGENET_22K, "large_gf", 0.2, 1.0, 32, _TWO_PARTS),
  _run(_FINE_TUNING, "large_7x7", 0.4, 1.0, 16),
  _run(_FINE_TUNING, "large_gf_img384", 0.4, 1.0, 16),
)
