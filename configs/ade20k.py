"""UperNet with HorNet on ADE20K, as the official configs have it, HorFPN's fusions included.

Question: what does HorNet give as a backbone for the class of every pixel?
Command:  ./hornet prepare ade20k --archives=DIR
          ./hornet train --config=ade20k:variant=tiny_gf --init=CLASSIFIER --workdir=gs://BUCKET/RUN
          CLASSIFIER is the published HorNet of that name, or a run of imagenet1k; for large that
          of ImageNet-22K.
Hardware: chips that divide the batch of 16; on 16 of 16 GB each, the largest model fits with
          nothing recomputed (docs/segmentation.md, Planning). --config.model.dtype=bfloat16 suits
          a TPU; the official runs are float32.
Paper:    mIoU at one scale 48.1 (tiny_7x7), 49.2 (tiny_gf), 49.2 and 50.0 (small), 50.0 and 50.5
          (base), 54.1 and 55.0 (large, from ImageNet-22K).
Ours:     not run.

Arguments: `variant` (tiny, small, base or large with _7x7 or _gf; other models of several levels
by their whole names), `fusion` (`conv`; `7x7` or `gf` for a gnConv, as HorFPN, officially with
small_7x7) and `runlocal`: the same recipe with the family's small model on made-up shapes, for
minutes on a laptop.

Other models have no official run here. They take the settings of small_7x7: a drop path and a decay
of their own are yours to choose.
"""

from hornet_jax.config import ConfigDict, base_config, model_name, parse_arg, shrink

# Drop path, learning rate of a stage to that of the next, layers that the decay counts, and pixels
# of the crop. Source: official semantic_segmentation/configs.
_MODELS = {
  "hornet_tiny_7x7": (0.4, 0.9, 6, 512),
  "hornet_tiny_gf": (0.4, 0.9, 6, 512),
  "hornet_small_7x7": (0.3, 0.9, 12, 512),
  "hornet_small_gf": (0.3, 0.9, 12, 512),
  "hornet_base_7x7": (0.4, 0.9, 12, 512),
  "hornet_base_gf": (0.5, 0.9, 12, 512),
  "hornet_large_7x7": (0.4, 0.8, 12, 640),
  "hornet_large_gf": (0.4, 0.8, 12, 640),
}
# Clip norm; the others are not clipped. Source: likewise.
_CLIP_NORMS = {
  "hornet_tiny_gf": 1.0,
  "hornet_small_gf": 1.0,
  "hornet_base_gf": 1.0,
  "hornet_large_gf": 0.1,
}
_OF_FUSION_GF = 0.1
# Grids of the global filters in all official configs, whatever the crop.
_FILTERS = "filters=('7x7', '7x7', (24, 13), (12, 7))"
_STEPS, _WARMUP_STEPS, _STEPS_BETWEEN = 160_000, 1_500, 16_000
_STEPS_PER_EPOCH = 20_210 // 16


def get_config(arg: str = "") -> ConfigDict:
  arguments = parse_arg(arg, variant="tiny_7x7", fusion="conv", runlocal=False)
  variant = model_name(arguments["variant"])
  drop_path_rate, decay, layers, crop = _MODELS.get(variant, _MODELS["hornet_small_7x7"])
  config = base_config()
  config.task = "segmentation"
  config.epochs = _STEPS / _STEPS_PER_EPOCH

  config.model.variant = variant
  if variant in _MODELS and variant.endswith("_gf"):
    config.model.fields = _FILTERS
  config.model.drop_path_rate = drop_path_rate

  config.data.dataset = "ade20k"
  config.data.image_size = crop
  config.data.batch_size = 16
  config.data.eval_batch_size = 16
  config.data.num_processes = 16

  config.segmentation.fusion = arguments["fusion"]
  config.segmentation.long_side = 4 * crop
  config.segmentation.short_side = crop

  config.optimizer.schedule = "poly"
  config.optimizer.learning_rate = 1e-4
  config.optimizer.final_learning_rate = 0.0
  config.optimizer.warmup_epochs = _WARMUP_STEPS / _STEPS_PER_EPOCH
  config.optimizer.clip_norm = _CLIP_NORMS.get(variant, 0.0)
  if arguments["fusion"] == "gf":
    config.optimizer.clip_norm = _OF_FUSION_GF
  config.optimizer.layer_decay = decay
  config.optimizer.layer_decay_by = "stage"
  config.optimizer.stage_decay_layers = layers

  config.ema.decay = 0.0  # no average
  config.eval.every_epochs = _STEPS_BETWEEN / _STEPS_PER_EPOCH
  if arguments["runlocal"]:
    _shrink(config)
  return config


def _shrink(config: ConfigDict) -> None:
  """Makes it a run of minutes on 500 made-up scenes, of which there are no archives to get."""
  shrink(config)
  config.model.fields = ""  # the small model has grids of its own
  config.data.dataset = "shapes"
  config.data.image_size = 64
  config.segmentation.channels = 48
  config.segmentation.auxiliary_channels = 32
  config.segmentation.long_side = 128
  config.segmentation.short_side = 128
  # There is no classifier to start from, and earlier stages learn like later ones.
  config.optimizer.layer_decay = 1.0
  config.optimizer.learning_rate = 2e-3
