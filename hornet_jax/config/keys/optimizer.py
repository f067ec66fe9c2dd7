"""Where parameters start, and how they are updated and averaged."""

from hornet_jax.config.key import (
  AT_LEAST_ONE,
  FRACTION,
  NOT_NEGATIVE,
  POSITIVE,
  SHARE,
  Key,
  later,
  operation,
)

OPTIMIZER: dict[str, Key] = {
  "optimizer.learning_rate": Key(
    4e-3,
    "Peak learning rate; it belongs to the batch size and is never rescaled.",
    POSITIVE,
    fits=True,
  ),
  "optimizer.final_learning_rate": Key(
    1e-6, "Learning rate that the end of the schedule tends to.", NOT_NEGATIVE
  ),
  "optimizer.warmup_epochs": Key(
    20.0, "Epochs in which the learning rate grows linearly.", NOT_NEGATIVE, fits=True
  ),
  "optimizer.schedule": later(
    "cosine",
    "Learning rate behind the warm-up: a cosine, or a constant and a cool-down "
    "(warmup_stable_decay), from which runs of other lengths branch off; or what the warm-up "
    "multiplies: a power of the steps that are left (poly), or a constant that falls to a tenth at "
    "some epochs (steps).",
    choices=("cosine", "poly", "steps", "warmup_stable_decay"),
    before="cosine",
  ),
  "optimizer.decay_fraction": later(
    0.2, "Share of the steps that the cool-down of warmup_stable_decay takes.", SHARE, before=0.2
  ),
  "optimizer.decay_shape": later(
    "linear",
    "Shape of that cool-down: linear, or 1-sqrt, which falls faster at first.",
    choices=("linear", "1-sqrt"),
    before="linear",
  ),
  "optimizer.poly_power": later(1.0, "Power of poly; 1 for a straight line.", POSITIVE, before=1.0),
  "optimizer.step_epochs": later(
    (27.0, 33.0),
    "Epochs after which steps falls to a tenth of what it was, any number of them; it stays at "
    "least optimizer.final_learning_rate.",
    POSITIVE,
    any_length=True,
    before=(27.0, 33.0),
  ),
  "optimizer.weight_decay": Key(0.05, "Weight decay of AdamW.", NOT_NEGATIVE),
  "optimizer.b1": Key(0.9, "Decay of AdamW's first moment.", FRACTION),
  "optimizer.b2": Key(0.999, "Decay of AdamW's second moment.", FRACTION),
  "optimizer.eps": Key(1e-8, "Epsilon of AdamW.", POSITIVE),
  "optimizer.mu_dtype": Key(
    "float32",
    "Type of the first moment; bfloat16 saves memory.",
    choices=("float32", "bfloat16"),
    before="float32",
  ),
  "optimizer.clip_norm": Key(
    5.0, "Largest L2 norm of the whole gradient; 0 for no clipping.", NOT_NEGATIVE
  ),
  "optimizer.layer_decay": Key(
    1.0,
    "Learning rate of a layer to that of the next; 1 for one rate.",
    SHARE,
    fits=True,
    before=1.0,
  ),
  "optimizer.layer_decay_by": later(
    "layer",
    "What optimizer.layer_decay counts: the layers of the model, or its stages, each of which "
    "then has one rate, as in segmentation.",
    choices=("layer", "stage"),
    before="layer",
  ),
  "optimizer.assumed_layers": later(
    0,
    "Number of layers n that the decay by layers takes for the model's own, as the official "
    "configs of HorFPN on COCO do with 6 for models of 12: the rate of layer i is multiplied by "
    "layer_decay^(n + 1 - i), which is above 1 for late layers; what a task puts behind them keeps "
    "its rate. 0 for the model's own number.",
    NOT_NEGATIVE,
    before=0,
  ),
  "optimizer.stage_decay_layers": later(
    12,
    "Number of layers n that decay by stages takes: the rate of stage s, from 1, is multiplied by "
    "layer_decay^(n + 1 - s), that of stem and downsampling by layer_decay^(n + 1); what lies "
    "behind the stages keeps its rate.",
    AT_LEAST_ONE,
    before=12,
  ),
  "optimizer.parametrization": later(
    "standard",
    "How learning rates follow the width: not at all (standard), by muP, which scales initial "
    "values too, or all by the power rule (base_width / width)^width_exponent.",
    choices=("standard", "mup", "power"),
    before="standard",
  ),
  "optimizer.base_width": later(
    0,
    "Width `base_dim` at which optimizer.learning_rate was found, and that mup and power leave as "
    "it is; 0 for standard.",
    NOT_NEGATIVE,
    before=0,
  ),
  "optimizer.width_exponent": later(
    0.5, "Exponent of the power rule, fitted on narrow models.", NOT_NEGATIVE, before=0.5
  ),
  "optimizer.accumulation_steps": Key(
    1, "Parts of the batch, one after another on each device.", AT_LEAST_ONE, before=1
  ),
  "optimizer.clip_each_micro_step": Key(
    False,
    "Whether gradients are clipped after each part too, as in the official code.",
    before=False,
  ),
  "optimizer.max_skipped_steps": operation(
    10,
    "Updates in a row that are not finite, after which the run stops or goes back.",
    AT_LEAST_ONE,
    before=10,
  ),
  "optimizer.max_rollbacks": operation(
    0,
    "Times that the run goes back to the newest checkpoint, and on with the data after the "
    "failure, before it stops.",
    NOT_NEGATIVE,
    before=0,
  ),
  "optimizer.freeze_backbone": Key(False, "Whether the head alone is trained.", before=False),
  "init.checkpoint": Key(
    "",
    "Workdir, file of `export` or `convert`, published .pth or .h5, or a name such as "
    "official:hornet_tiny_gf to start from; empty for random weights.",
    before="",
  ),
  "init.class_map": Key(
    "",
    "File with the number that each class has there (.npy, text, .pth); empty for equal names, "
    "such as WordNet ids, as far as the classes are there, and a new head where there are none.",
    official=False,
    before="",
  ),
  "ema.decay": Key(
    0.9999,
    "Decay of the moving average of the parameters, for a run of ema.reference_steps.",
    FRACTION,
  ),
  "ema.reference_steps": Key(
    93_600, "Steps whose decay is fitted to a run of others; 0 to use it as it is.", NOT_NEGATIVE
  ),
}
