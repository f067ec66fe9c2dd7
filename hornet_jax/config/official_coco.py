"""The official runs of Mask R-CNN and its cascade on COCO, as their configs have them."""

from typing import Any

from hornet_jax.config.recipe import ON_IMAGENET_1K, ON_IMAGENET_22K, TRANSFORMS, Recipe

_STEPS_PER_EPOCH = 7329  # floor(117,266 / 16), of ours
_DEVIATIONS = (
  "an image lies on the smallest of a few canvases that it fits in evaluation, and is scaled down "
  "further where a training view does not fit; officially batches are as large as their "
  "largest image",
  "a batch has images of one canvas; officially the two of a GPU are both portrait or both not",
  "images are scaled once, with Pillow's pixels; officially before and after a crop, with OpenCV's",
  "objects are learned from bitmaps of their boxes (detection.mask_side), officially from masks as "
  "large as the image",
  "regions are sampled at two points a side of each part, officially at as many as their size asks "
  "for",
  "the losses of proposals count no image without samples of a kind as one sample",
  "losses are means over the samples of the whole batch, officially of each GPU's two images",
  "batch normalization stores the biased variance, officially the unbiased one",
  "the gnConvs of a neck start from a normal distribution, officially from Xavier's uniform one",
  "the 1,000 likeliest boxes and classes are compared to choose what is found; officially all are",
  "the shuffled stream runs on across epochs; officially what is left of an epoch is filled up, so "
  "that it has 7,330 steps",
  "an update that is not finite is skipped, officially it is made",
  "one stream of random numbers for the global batch, by seed; officially one for each GPU, of "
  "no fixed seed",
)
# Source: official object_detection/configs/_base_, and mmdet's defaults.
_EVERYWHERE: dict[str, Any] = {
  "model.fields": "",
  "model.patch_size": 4,
  "model.dtype": "float32",
  "model.global_filter": TRANSFORMS,
  "data.train_split": "",  # all of it
  "data.batch_size": 16,
  "data.flip_rate": 0.5,
  "data.empty_images": False,
  "data.mean": [123.675 / 255, 116.28 / 255, 103.53 / 255],
  "data.std": [58.395 / 255, 57.12 / 255, 57.375 / 255],
  "detection.channels": 256,
  "detection.hidden": 1024,
  "detection.train_proposals": 0,  # 2,000, and 1,000 of Mask R-CNN
  "detection.compared": 2000,
  "detection.anchor_samples": 256,
  "detection.samples": 512,
  "detection.long_side": 1333,
  "detection.short_side": 800,
  "detection.short_sides": list(range(480, 801, 32)),
  "detection.crop_rate": 0.5,
  "detection.crop_short_sides": [400, 500, 600],
  "detection.crop_sides": [384, 600],
  "detection.proposals": 1000,
  "detection.detections": 100,
  "detection.least_score": 0.05,
  "optimizer.final_learning_rate": 0.0,
  "optimizer.warmup_epochs": 500 / _STEPS_PER_EPOCH,
  "optimizer.schedule": "steps",
  "optimizer.weight_decay": 0.05,
  "optimizer.b1": 0.9,
  "optimizer.b2": 0.999,
  "optimizer.eps": 1e-8,
  "optimizer.mu_dtype": "float32",
  "optimizer.clip_norm": 0.0,
  "optimizer.clip_each_micro_step": False,
  "optimizer.layer_decay_by": "layer",
  "optimizer.accumulation_steps": 1,
  "optimizer.freeze_backbone": False,
  "init.checkpoint": ON_IMAGENET_1K,
  "ema.decay": 0.0,
}
_CASCADE: dict[str, Any] = {
  "epochs": 36.0,
  "detection.kind": "cascade",
  "detection.neck": "conv",
  "optimizer.step_epochs": [27.0, 33.0],
  "optimizer.assumed_layers": 0,
}
_MASK_RCNN: dict[str, Any] = {
  "epochs": 12.0,
  "detection.kind": "mask_rcnn",
  "optimizer.step_epochs": [8.0, 11.0],
  "optimizer.assumed_layers": 6,
}
_LARGE = {"init.checkpoint": ON_IMAGENET_22K}
_LARGE_FILTERS = {"model.fields": "filters=('7x7', '7x7', (24, 13), (12, 7))"}


def _run(
  variant: str,
  drop_path_rate: float,
  learning_rate: float,
  layer_decay: float,
  others: dict[str, Any] | None = None,
) -> Recipe:
  """Describes a run by what it does not share with all of them; of the cascade unless told."""
  settings = (
    _EVERYWHERE
    | _CASCADE
    | {
      "model.variant": f"hornet_{variant}",
      "model.drop_path_rate": drop_path_rate,
      "optimizer.learning_rate": learning_rate,
      "optimizer.layer_decay": layer_decay,
    }
  )
  return Recipe(f"hornet_{variant}", "coco", settings | (others or {}), _DEVIATIONS)


# Source: official object_detection/configs, hornet and horfpn.
COCO_RECIPES = (
  _run("tiny_7x7", 0.4, 2e-4, 0.7),
  _run("tiny_gf", 0.4, 2e-4, 0.7),
  _run("small_7x7", 0.6, 2e-4, 0.7),
  _run("small_gf", 0.6, 2e-4, 0.7),
  _run("base_7x7", 0.7, 2e-4, 0.8),
  _run("base_gf", 0.7, 2e-4, 0.8),
  _run("large_7x7", 0.7, 1e-4, 0.7, _LARGE),
  _run("large_gf", 0.7, 1e-4, 0.7, _LARGE | _LARGE_FILTERS),
  *(
    _run("small_7x7", 0.6, 1e-4, 0.95, _MASK_RCNN | {"detection.neck": neck})
    for neck in ("conv", "7x7", "gf")
  ),
)
