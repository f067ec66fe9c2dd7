"""HorNet-L pretrained on ImageNet-22K, as the official training record has it.

Question: what does pretraining on more classes give the large model?
Command:  ./hornet prepare imagenet22k/winter21 --archives=DIR
          ./hornet train --config=imagenet22k:variant=large_gf --workdir=gs://BUCKET/RUN
          then the config imagenet1k_finetune.
Hardware: at most 128 chips, for whole mixing groups of 32 images in the batch of 4,096.
          --config.model.dtype=bfloat16 suits a TPU; the official runs are float32.
Paper:    top-1 on ImageNet-1K after fine-tuning at 224: 86.8 (7x7) and 87.0 (gf).
Ours:     not run.

The official run is not evaluated. Here the end is, on a hundredth of the training images:
whether it learnt, not how well it generalises.

Arguments: `variant` (large_7x7, large_gf, or any other model by its name: those have no official
run, and take the clip norm of large_7x7), `dataset` (imagenet22k/winter21 or another build of it)
and `runlocal`: the same run for a minute on a laptop, with what
`prepare imagenet22k/winter21 --generated --data_dir=D` makes.
"""

from hornet_jax.config import ConfigDict, base_config, model_name, parse_arg, shrink

# Clip norm by model. Source: official TRAINING.md.
_CLIP_NORMS = {"hornet_large_7x7": 5.0, "hornet_large_gf": 1.0}


def get_config(arg: str = "") -> ConfigDict:
  arguments = parse_arg(arg, variant="large_7x7", dataset="imagenet22k/winter21", runlocal=False)
  config = base_config()
  config.epochs = 90.0
  config.model.variant = model_name(arguments["variant"])
  config.model.remat = "dense"  # without, the groups of a chip of 16 GB do not fit
  config.data.dataset = arguments["dataset"]
  config.data.train_split = "train"
  config.data.eval_split = "train[:1%]"
  config.data.num_processes = 16
  config.mix.group_size = 32
  config.optimizer.clip_norm = _CLIP_NORMS.get(config.model.variant, 5.0)
  config.optimizer.warmup_epochs = 5.0
  config.optimizer.weight_decay = 0.1
  config.ema.decay = 0.0  # no average
  config.eval.every_epochs = 90.0
  if arguments["runlocal"]:
    shrink(config)
    config.data.eval_split = "train[:25%]"
  return config
