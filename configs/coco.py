"""Cascade Mask R-CNN and Mask R-CNN with HorNet on COCO, as the official configs have them.

Question: what does HorNet give as a backbone for every object, its box and its mask?
Command:  ./hornet prepare coco --archives=DIR
          ./hornet train --config=coco:variant=tiny_gf --init=CLASSIFIER --workdir=gs://BUCKET/RUN
          CLASSIFIER is the published HorNet of that name, or a run of imagenet1k; for large that
          of ImageNet-22K.
Hardware: chips that divide the batch of 16 (docs/detection.md, Planning).
          --config.model.dtype=bfloat16 suits a TPU; the official runs are float32.
Paper:    box AP and mask AP 51.7 and 44.8 (tiny_7x7), 52.4 and 45.6 (tiny_gf), 52.7 and 45.6, 53.3
          and 46.3 (small), 53.3 and 46.1, 54.0 and 46.9 (base), 55.4 and 48.0, 56.0 and 48.6
          (large, from ImageNet-22K): all of the cascade.
Ours:     not run.

Arguments: `variant` (tiny, small, base or large with _7x7 or _gf; other models of several levels
by their whole names), `kind` (`cascade` for 36 epochs, or `mask_rcnn` for 12, officially with
small_7x7), `neck` (`conv`; `7x7` or `gf` for gnConvs, as HorFPN, officially with mask_rcnn) and
`runlocal`: the same recipe with the family's small model on made-up shapes, for minutes on a
laptop.

Other models have no official run here. They take the settings of small_7x7: a drop path and a decay
of their own are yours to choose.
"""

from hornet_jax.config import ConfigDict, base_config, choose, model_name, parse_arg, shrink

# Drop path, learning rate and its ratio from a layer to the next, of the cascade. Source: official
# object_detection/configs/hornet.
_MODELS = {
  "hornet_tiny_7x7": (0.4, 2e-4, 0.7),
  "hornet_tiny_gf": (0.4, 2e-4, 0.7),
  "hornet_small_7x7": (0.6, 2e-4, 0.7),
  "hornet_small_gf": (0.6, 2e-4, 0.7),
  "hornet_base_7x7": (0.7, 2e-4, 0.8),
  "hornet_base_gf": (0.7, 2e-4, 0.8),
  "hornet_large_7x7": (0.7, 1e-4, 0.7),
  "hornet_large_gf": (0.7, 1e-4, 0.7),
}
# Likewise of Mask R-CNN, and the layers that its decay assumes. Source: configs/horfpn.
_MASK_RCNN = (0.6, 1e-4, 0.95)
_ASSUMED_LAYERS = 6
# Grids of the global filters of the largest model; the others keep theirs.
_LARGE_FILTERS = "filters=('7x7', '7x7', (24, 13), (12, 7))"
# Epochs, and those at which the learning rate falls.
_LENGTHS = {"cascade": (36.0, (27.0, 33.0)), "mask_rcnn": (12.0, (8.0, 11.0))}
_WARMUP_STEPS = 500
_STEPS_PER_EPOCH = 117_266 // 16  # images with objects


def get_config(arg: str = "") -> ConfigDict:
  arguments = parse_arg(arg, variant="tiny_7x7", kind="cascade", neck="conv", runlocal=False)
  variant, kind = model_name(arguments["variant"]), arguments["kind"]
  epochs, falls = choose("kind", kind, _LENGTHS)
  drop_path_rate, learning_rate, decay = _MODELS.get(variant, _MODELS["hornet_small_7x7"])
  config = base_config()
  if kind == "mask_rcnn":
    drop_path_rate, learning_rate, decay = _MASK_RCNN
    config.optimizer.assumed_layers = _ASSUMED_LAYERS
  config.task = "detection"
  config.epochs = epochs

  config.model.variant = variant
  if variant == "hornet_large_gf":
    config.model.fields = _LARGE_FILTERS
  config.model.drop_path_rate = drop_path_rate

  config.data.dataset = "coco"
  config.data.batch_size = 16
  config.data.eval_batch_size = 16
  config.data.num_processes = 16

  config.detection.kind = kind
  config.detection.neck = arguments["neck"]

  config.optimizer.schedule = "steps"
  config.optimizer.step_epochs = falls
  config.optimizer.learning_rate = learning_rate
  config.optimizer.final_learning_rate = 0.0
  config.optimizer.warmup_epochs = _WARMUP_STEPS / _STEPS_PER_EPOCH
  config.optimizer.clip_norm = 0.0
  config.optimizer.layer_decay = decay

  config.ema.decay = 0.0  # no average
  config.eval.every_epochs = 1.0
  if arguments["runlocal"]:
    _shrink(config)
  return config


def _shrink(config: ConfigDict) -> None:
  """Makes it a run of minutes on 500 made-up scenes, of which there are no archives to get."""
  shrink(config)
  config.epochs = 2.0
  config.model.fields = ""  # the small model has grids of its own
  config.model.patch_size = 4
  config.data.dataset = "shapes_coco"
  config.data.batch_size = 8
  config.data.eval_batch_size = 10
  config.detection.channels = 32
  config.detection.hidden = 64
  config.detection.train_proposals = 128
  config.detection.proposals = 128
  config.detection.compared = 256
  config.detection.anchor_samples = 64
  config.detection.samples = 64
  config.detection.detections = 20
  config.detection.canvases = ("128x128",)
  config.detection.long_side = 128
  config.detection.short_side = 128
  config.detection.short_sides = (96, 112, 128)
  config.detection.crop_short_sides = (96, 128)
  config.detection.crop_sides = (64, 112)
  config.detection.max_objects = 8
  config.detection.mask_side = 56
  # There is no classifier to start from, and earlier layers learn like later ones.
  config.optimizer.layer_decay = 1.0
  config.optimizer.learning_rate = 2e-3
  config.optimizer.warmup_epochs = 0.2
  config.optimizer.step_epochs = (1.5, 1.8)
  config.eval.every_epochs = 1.0
