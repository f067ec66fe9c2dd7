"""HorNet-L from ImageNet-22K fine-tuned on ImageNet-1K, at 384 as the official record has it.

Question: what does the larger image give the pretrained model?
Command:  ./hornet train --config=imagenet1k_finetune:variant=large_gf \\
            --init=RUN_OF_imagenet22k --workdir=gs://BUCKET/RUN
          From a published checkpoint of ImageNet-22K, whose classes have no names:
            --init=official:hornet_large_gf_in22k \\
            --config.init.class_map=in1k_to_21k_map.pth
          The head starts from the rows of the 22K head that stand for the 1,000 classes, by
          WordNet id or by the class map (the official file, or one of integers); the filters of
          _gf are resized to the larger grid.
Hardware: chips that divide the batch of 512. --config.model.dtype=bfloat16 suits a TPU; the
          official runs are float32.
Paper:    top-1 at 384 87.3 (gf); at 224 86.8 (7x7) and 87.0 (gf).
Ours:     not run.

The official record has 384 only; `image_size=224` takes the same settings there.

Arguments: `variant` (large_7x7 or large_gf), `image_size` (384 or 224) and `runlocal`: the same
run for a minute on a laptop, with --init=RUN of imagenet22k.
"""

from hornet_jax.config import ConfigDict, base_config, choose, parse_arg, shrink

# Model by variant and image size: from 384 on the filters have the grids of that size.
_MODELS = {
  "large_7x7,384": "hornet_large_7x7",
  "large_gf,384": "hornet_large_gf_img384",
  "large_7x7,224": "hornet_large_7x7",
  "large_gf,224": "hornet_large_gf",
}


def get_config(arg: str = "") -> ConfigDict:
  arguments = parse_arg(arg, variant="large_7x7", image_size="384", runlocal=False)
  config = base_config()
  config.epochs = 30.0
  chosen = f"{arguments['variant']},{arguments['image_size']}"
  config.model.variant = choose("variant and image_size", chosen, _MODELS)
  config.model.remat = "dense"  # without, the groups of a chip of 16 GB do not fit
  config.model.drop_path_rate = 0.4
  config.data.dataset = "imagenet2012"
  config.data.image_size = int(arguments["image_size"])
  config.data.batch_size = 512
  config.data.eval_batch_size = 512
  config.data.eval_warp = config.data.image_size >= 384
  config.data.num_processes = 16
  config.mix.mixup_alpha = 0.0
  config.mix.cutmix_alpha = 0.0
  config.mix.group_size = 16
  config.optimizer.learning_rate = 5e-5
  config.optimizer.warmup_epochs = 0.0
  config.optimizer.weight_decay = 1e-8
  config.optimizer.clip_norm = 1.0
  config.optimizer.layer_decay = 0.7
  config.ema.reference_steps = 0
  if arguments["runlocal"]:
    shrink(config)
    config.data.image_size = 48
  return config
