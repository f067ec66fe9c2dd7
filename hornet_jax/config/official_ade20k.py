"""The official runs of UperNet on ADE20K, as their configs have them."""

from typing import Any

from hornet_jax.config.recipe import ON_IMAGENET_1K, ON_IMAGENET_22K, TRANSFORMS, Recipe

# Of 20,210 images, each of 8 GPUs sees an eighth, two at a time, and drops what is left.
_STEPS_PER_EPOCH = 1263
_DEVIATIONS = (
  "images are resized and their hues turned as Pillow does, officially as OpenCV does, and what is "
  "filled in is rounded to whole numbers",
  "batch normalization stores the biased variance, officially the unbiased one",
  "the gnConv of a fusion starts from a normal distribution, officially as PyTorch's convolutions",
  "gradients are clipped by limit / norm, officially by limit / (norm + 1e-6)",
  "the shuffled stream runs on across epochs; officially what is left of an epoch, less than a "
  "batch, is not used",
  "an update that is not finite is skipped, officially it is made",
  "one stream of random numbers for the global batch, by seed; officially one for each GPU, of "
  "no fixed seed",
  "evaluation sees the whole image, scaled to fit a square of data.image_size; officially windows "
  "of that size slide over the image with its short side of that size",
)
# Source: official semantic_segmentation/configs/_base_, and mmseg's defaults.
_EVERYWHERE: dict[str, Any] = {
  "epochs": 160_000 / _STEPS_PER_EPOCH,
  "model.fields": "",
  "model.patch_size": 4,
  "model.dtype": "float32",
  "model.global_filter": TRANSFORMS,
  "data.train_split": "",  # all of it
  "data.batch_size": 16,
  "data.flip_rate": 0.5,
  "data.mean": [123.675 / 255, 116.28 / 255, 103.53 / 255],
  "data.std": [58.395 / 255, 57.12 / 255, 57.375 / 255],
  "segmentation.channels": 512,
  "segmentation.fusion": "conv",
  "segmentation.auxiliary_channels": 256,
  "segmentation.auxiliary_weight": 0.4,
  "segmentation.dropout_rate": 0.1,
  "segmentation.ratios": [0.5, 2.0],
  "segmentation.max_class_share": 0.75,
  "segmentation.photometric": True,
  "optimizer.learning_rate": 1e-4,
  "optimizer.final_learning_rate": 0.0,
  "optimizer.warmup_epochs": 1500 / _STEPS_PER_EPOCH,
  "optimizer.schedule": "poly",
  "optimizer.poly_power": 1.0,
  "optimizer.weight_decay": 0.05,
  "optimizer.b1": 0.9,
  "optimizer.b2": 0.999,
  "optimizer.eps": 1e-8,
  "optimizer.mu_dtype": "float32",
  "optimizer.clip_norm": 0.0,
  "optimizer.clip_each_micro_step": False,
  "optimizer.layer_decay": 0.9,
  "optimizer.layer_decay_by": "stage",
  "optimizer.stage_decay_layers": 12,
  "optimizer.accumulation_steps": 1,
  "optimizer.freeze_backbone": False,
  "init.checkpoint": ON_IMAGENET_1K,
  "ema.decay": 0.0,
}
_GLOBAL_FILTERS = {"model.fields": "filters=('7x7', '7x7', (24, 13), (12, 7))"}
_SIX_LAYERS = {"optimizer.stage_decay_layers": 6}
_LARGE = {"optimizer.layer_decay": 0.8, "init.checkpoint": ON_IMAGENET_22K}


def _run(
  variant: str, drop_path_rate: float, others: dict[str, Any] | None = None, crop: int = 512
) -> Recipe:
  """Describes a run by what it does not share with all of them."""
  settings = _EVERYWHERE | {
    "model.variant": f"hornet_{variant}",
    "model.drop_path_rate": drop_path_rate,
    "data.image_size": crop,
    "segmentation.long_side": 4 * crop,
    "segmentation.short_side": crop,
  }
  if variant.endswith("_gf"):
    settings |= _GLOBAL_FILTERS
  return Recipe(f"hornet_{variant}", "ade20k", settings | (others or {}), _DEVIATIONS)


# Source: official semantic_segmentation/configs, hornet and horfpn.
ADE20K_RECIPES = (
  _run("tiny_7x7", 0.4, _SIX_LAYERS),
  _run("tiny_gf", 0.4, _SIX_LAYERS | {"optimizer.clip_norm": 1.0}),
  _run("small_7x7", 0.3),
  _run("small_gf", 0.3, {"optimizer.clip_norm": 1.0}),
  _run("base_7x7", 0.4),
  _run("base_gf", 0.5, {"optimizer.clip_norm": 1.0}),
  _run("large_7x7", 0.4, _LARGE, crop=640),
  _run("large_gf", 0.4, _LARGE | {"optimizer.clip_norm": 0.1}, crop=640),
  _run("small_7x7", 0.3, {"segmentation.fusion": "7x7"}),
  _run("small_7x7", 0.3, {"segmentation.fusion": "gf", "optimizer.clip_norm": 0.1}),
)
