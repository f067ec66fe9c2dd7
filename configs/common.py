"""Every key of a run, with its unit; experiments change what they need."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict


def base_config() -> ConfigDict:
  """The paper's recipe where it has a value, small-machine defaults elsewhere."""
  config = ConfigDict()
  config.seed = 0  # of initial weights, order, augmentation and drop path
  config.epochs = 300.0  # passes over the training split; the run has epochs * floor(N / B) steps

  config.model = ConfigDict()
  config.model.variant = "hornet_tiny_7x7"  # `python -m hornet_jax info` lists them
  config.model.patch_size = 4  # pixels, side of the stem's patches
  config.model.drop_path_rate = 0.2  # probability for the last block; grows linearly from 0
  config.model.global_filter = "dft"  # dft, dft_bf16 (products of bfloat16) or fft
  config.model.dtype = "float32"  # of the computation: float32 or bfloat16; parameters are float32
  config.model.scan = True  # compile the equal blocks of a stage once; False trains faster off TPUs
  # Recomputed in the backward pass to save memory: none, full (all of each block), dense (all but
  # the outputs of linear layers) or dots (all but matrix products).
  config.model.remat = "none"
  # Type of the gradients of linear kernels and of their sum over devices: compute (model.dtype) or
  # float32, which sends twice as much where that is bfloat16.
  config.model.gradient_sum = "compute"

  config.mesh = ConfigDict()
  # Devices that share one copy of parameters, moments and averages; 1: each has its own. For what
  # does not fit otherwise; 8 at most pays. The other axis, data, has the rest of the devices.
  config.mesh.fsdp = 1

  config.data = ConfigDict()
  config.data.dataset = "digits"  # `python -m hornet_jax prepare --help` lists them
  config.data.train_split = ""  # such as train[:90%]; empty: the dataset's own
  config.data.eval_split = ""  # likewise
  config.data.data_dir = ""  # of prepared datasets; empty: $TFDS_DATA_DIR or ~/tensorflow_datasets
  config.data.image_size = 224  # pixels
  config.data.batch_size = 4096  # images in the global batch of a training step
  config.data.eval_batch_size = 4096  # images in the global batch of an evaluation step
  config.data.crop = "random_resized"  # or padded: the central square, shifted
  config.data.crop_scale = (0.08, 1.0)  # random_resized: share of the image's area
  config.data.crop_aspect = (3 / 4, 4 / 3)  # random_resized: width / height
  config.data.crop_padding = 0  # padded: pixels by which training images shift at most
  config.data.flip_rate = 0.5  # probability of a horizontal flip
  config.data.rand_augment = "rand-m9-mstd0.5-inc1"  # in timm's notation; empty: none
  config.data.erasing_rate = 0.25  # probability that a rectangle of a training image is noise
  config.data.eval_crop_fraction = 0.875  # share of the short side that evaluation sees
  config.data.eval_warp = False  # resize to a square instead, as the official code from 384 on
  config.data.imaging = "turbo"  # what decodes and resizes: turbo or pillow, the slower reference
  config.data.mean = (0.485, 0.456, 0.406)  # of each channel, pixels in [0, 1]
  config.data.std = (0.229, 0.224, 0.225)
  config.data.num_threads = 2  # readers, in each of
  config.data.num_processes = 0  # so many processes a host, beside the one that trains; 0: in it
  config.data.max_undecodable = 100  # unreadable images per process, after which the run stops
  config.data.stall_seconds = 600.0  # that a batch may take before the run ends; 0: no limit

  config.mix = ConfigDict()
  config.mix.mixup_alpha = 0.8  # ratios from Beta(alpha, alpha); 0: no mixup
  config.mix.cutmix_alpha = 1.0  # likewise; 0: no cutmix
  config.mix.rate = 1.0  # probability that a group is mixed
  config.mix.switch_rate = 0.5  # probability of cutmix, where both are on
  config.mix.group_size = 128  # images that share a ratio: the official batch of one GPU

  config.optimizer = ConfigDict()
  config.optimizer.learning_rate = 4e-3  # peak; belongs to the batch size, never rescaled
  config.optimizer.final_learning_rate = 1e-6  # the cosine tends to it
  config.optimizer.warmup_epochs = 20.0
  config.optimizer.weight_decay = 0.05
  config.optimizer.b1 = 0.9
  config.optimizer.b2 = 0.999
  config.optimizer.eps = 1e-8
  config.optimizer.mu_dtype = "float32"  # of the first moment; or bfloat16, to save memory
  config.optimizer.clip_norm = 5.0  # largest L2 norm of the whole gradient; 0: no clipping
  config.optimizer.layer_decay = 1.0  # learning rate of a layer to that of the next; 1: none
  config.optimizer.accumulation_steps = 1  # parts of the batch, one after another on each device
  config.optimizer.clip_each_micro_step = False  # clip after each part too, as the official code
  config.optimizer.max_skipped_steps = 10  # updates in a row that are not finite: the run stops
  # Or goes back to the newest checkpoint, so often at most, and on with the data after the failure.
  config.optimizer.max_rollbacks = 0
  config.optimizer.freeze_backbone = False  # train the head alone

  config.init = ConfigDict()
  # Workdir, file of `export` or `convert`, published .pth or .h5, or a name such as
  # official:hornet_tiny_gf; empty: random weights.
  config.init.checkpoint = ""
  # File with the number that each class has there (.npy, text, .pth). Empty: by WordNet id, as far
  # as the classes are there; a new head where they have other names.
  config.init.class_map = ""

  config.loss = ConfigDict()
  config.loss.label_smoothing = 0.1  # share of the target spread over all classes

  config.ema = ConfigDict()
  config.ema.decay = 0.9999  # of the moving average of the parameters, for a run of
  config.ema.reference_steps = 93_600  # so many steps; fitted to others; 0: decay used as is

  config.log = ConfigDict()
  config.log.every_steps = 50
  config.log.profile_steps = 0  # after the first of each start, traced for xprof into profile/
  config.eval = ConfigDict()
  config.eval.every_epochs = 10.0  # the end is always evaluated
  config.eval.also = ()  # further sets with the same classes: NAME/SPLIT
  config.checkpoint = ConfigDict()
  config.checkpoint.every_steps = 1000  # what was evaluated, the end and a stop are always saved
  config.checkpoint.keep = 3  # newest ones
  config.checkpoint.keep_best = 1  # by accuracy of the averaged weights, besides the newest
  # A save that finds no space: stop, or continue from the last good checkpoint on. Either way
  # that one stays; the checkpoint of the end has to be saved.
  config.checkpoint.on_full_disk = "stop"
  config.checkpoint.executables = True  # keep the compiled steps: a restart loads them
  return config


def parse_arg(arg: str, **defaults: str | bool) -> dict[str, str | bool]:
  """Parses what follows the colon of `--config file.py:variant=tiny_gf,runlocal`.

  Args:
    arg: comma-separated `key=value` or, for switches, `key`.
    **defaults: the known keys and their values; False for switches.

  Raises:
    ValueError: if a key is unknown or a value is missing.
  """
  parsed = dict(defaults)
  for part in filter(None, arg.split(",")):
    key, separator, value = part.partition("=")
    if key not in defaults or isinstance(defaults[key], bool) == bool(separator):
      known = (f"{k}" if isinstance(v, bool) else f"{k}=..." for k, v in defaults.items())
      raise ValueError(f"config argument {part!r} is unknown: expected {', '.join(known)}")
    parsed[key] = value if separator else True
  return parsed


def choose(name: str, key: Any, table: Mapping[Any, Any]) -> Any:
  """`table[key]`; a `ValueError` names the keys where there is none."""
  if key not in table:
    raise ValueError(f"unknown {name} {key!r}: expected one of {', '.join(map(str, table))}")
  return table[key]


def shrink(config: ConfigDict) -> None:
  """Makes an ImageNet run one of a minute on a laptop, with generated archives.

  The small model has the same kind of filters, the recipe stays but for its sizes.
  """
  filters = "gf" if "_gf" in config.model.variant else "7x7"
  config.model.variant = f"hornet_micro_{filters}"
  config.model.patch_size = 2
  config.epochs = 4.0
  config.optimizer.warmup_epochs = min(config.optimizer.warmup_epochs, 1.0)
  config.data.image_size = 32
  config.data.batch_size = 32
  config.data.eval_batch_size = 25
  config.data.num_threads = 2
  config.data.num_processes = 0
  config.mix.group_size = 8
  config.log.every_steps = 5
  config.eval.every_epochs = 2.0
