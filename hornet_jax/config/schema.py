"""Every key of a run stands here, once.

The defaults are the paper's recipe where it has a value, and small-machine values elsewhere.
`hornet train --help_config` prints the table.
"""

import functools

from hornet_jax.config.key import (
  AT_LEAST_ONE,
  FRACTION,
  NOT_NEGATIVE,
  POSITIVE,
  PROBABILITY,
  SHARE,
  Key,
  Range,
)

VERSION = 1
"""The version is raised where a key gets another name, type or meaning; see `upgrade`.

A new key needs none: it says by `Key.before` what runs did without it.
"""

# How a run is operated touches none of its numbers, and the official record is silent about it.
_operation = functools.partial(Key, may_change=True, official=False)

SCHEMA: dict[str, Key] = {
  "version": Key(VERSION, "Version of the keys, set by the program.", official=False),
  "task": Key(
    "classification",
    "Name of the task: what is learned.",
    official=False,  # there is no other
    before="classification",
  ),
  "imports": _operation(
    (),
    "Python modules that are imported first, from the current folder or installed: they register "
    "models and tasks of your own.",
    before=(),
  ),
  "seed": Key(0, "Seed of initial weights, order, augmentation and drop path.", NOT_NEGATIVE),
  "epochs": Key(
    300.0,
    "Passes over the training split: the run has epochs * floor(N / B) steps.",
    POSITIVE,
    may_change=True,
    fits=True,
  ),
  # model
  "model.variant": Key("hornet_tiny_7x7", "Name of the model; `hornet info` lists them."),
  "model.patch_size": Key(4, "Side of the stem's patches, in pixels.", AT_LEAST_ONE),
  "model.drop_path_rate": Key(
    0.2, "Drop probability of the last block; it grows linearly from 0.", FRACTION
  ),
  "model.global_filter": Key(
    "dft",
    "Implementation of Fourier transforms; dft_bf16 rounds its products.",
    choices=("dft", "dft_bf16", "fft"),
  ),
  "model.dtype": Key(
    "float32", "Type of the computation; parameters are float32.", choices=("float32", "bfloat16")
  ),
  "model.scan": _operation(
    True,
    "Whether the equal blocks of a stage are compiled once; on CPU false is faster.",
    before=False,
  ),
  "model.remat": _operation(
    "none",
    "What is recomputed in the backward pass to save memory: nothing, all of each block, all but "
    "the outputs of linear layers (dense), or all but matrix products (dots).",
    choices=("none", "full", "dense", "dots"),
  ),
  "model.gradient_sum": Key(
    "compute",
    "Type of the gradients of linear kernels and of their sum over devices: model.dtype "
    "(compute) or float32, which sends twice as much where that is bfloat16.",
    choices=("compute", "float32"),
    official=False,  # of float32 both are one
    before="compute",
  ),
  # mesh
  "mesh.fsdp": _operation(
    1,
    "Devices that share one copy of parameters, moments and averages, for what does not fit "
    "otherwise; 8 at most pays. The axis `data` has the rest of the devices.",
    AT_LEAST_ONE,
    before=1,
  ),
  # data
  "data.dataset": Key(
    "digits",
    "Name of the dataset; `hornet prepare --help` lists them.",
    official=False,  # by it the official run is found
  ),
  "data.train_split": Key(
    "", "Split to train on, such as train[:90%]; empty for the dataset's own.", before=""
  ),
  "data.eval_split": Key(
    "", "Split to evaluate on, likewise; empty for the dataset's own.", official=False, before=""
  ),
  "data.data_dir": _operation(
    "", "Folder of prepared datasets; empty for $TFDS_DATA_DIR or ~/tensorflow_datasets."
  ),
  "data.image_size": Key(224, "Side of the images, in pixels.", AT_LEAST_ONE, evaluation=True),
  "data.batch_size": Key(
    4096, "Images in the global batch of a training step.", AT_LEAST_ONE, fits=True
  ),
  "data.eval_batch_size": _operation(
    4096,
    "Images in the global batch of an evaluation step; as many as there are, where they are fewer.",
    AT_LEAST_ONE,
    fits=True,
  ),
  "data.crop": Key(
    "random_resized",
    "Crop of training images: a random box, or the central square, shifted (padded).",
    choices=("random_resized", "padded"),
    before="padded",
  ),
  "data.crop_scale": Key(
    (0.08, 1.0),
    "Smallest and largest share of the image's area, for random_resized.",
    SHARE,
    before=(0.08, 1.0),
  ),
  "data.crop_aspect": Key(
    (3 / 4, 4 / 3),
    "Smallest and largest width / height, for random_resized.",
    POSITIVE,
    before=(3 / 4, 4 / 3),
  ),
  "data.crop_padding": Key(
    0, "Pixels by which training images shift at most, for padded.", NOT_NEGATIVE, official=False
  ),
  "data.flip_rate": Key(0.5, "Probability of a horizontal flip.", PROBABILITY, before=0.0),
  "data.rand_augment": Key(
    "rand-m9-mstd0.5-inc1", "RandAugment in timm's notation; empty for none.", before=""
  ),
  "data.erasing_rate": Key(
    0.25, "Probability that a rectangle of a training image is noise.", FRACTION, before=0.0
  ),
  "data.eval_crop_fraction": Key(
    0.875, "Share of the short side that evaluation sees.", SHARE, evaluation=True
  ),
  "data.eval_warp": Key(
    False,
    "Whether evaluation resizes to a square instead, as the official code from 384 pixels on.",
    evaluation=True,
    before=False,
  ),
  "data.imaging": Key(
    "turbo",
    "Libraries that decode and resize; pillow is the slower reference.",
    choices=("turbo", "pillow"),
    official=False,  # the same pixels
    evaluation=True,
    before="turbo",
  ),
  "data.mean": Key(
    (0.485, 0.456, 0.406), "Mean of each channel, of pixels in [0, 1].", Range(), evaluation=True
  ),
  "data.std": Key(
    (0.229, 0.224, 0.225), "Standard deviation of each channel.", POSITIVE, evaluation=True
  ),
  "data.num_threads": _operation(2, "Threads that read, in each process that does.", AT_LEAST_ONE),
  "data.num_processes": _operation(
    0,
    "Processes a host that read, beside the one that trains; with 0 that one does.",
    NOT_NEGATIVE,
    before=0,
  ),
  "data.max_undecodable": _operation(
    100, "Unreadable images per process, after which the run stops.", NOT_NEGATIVE
  ),
  "data.stall_seconds": _operation(
    600.0,
    "Seconds that a batch may take before the run ends; 0 for no limit.",
    NOT_NEGATIVE,
    before=600.0,
  ),
  # mix
  "mix.mixup_alpha": Key(
    0.8,
    "Alpha of mixup's ratios, from Beta(alpha, alpha); 0 for no mixup.",
    NOT_NEGATIVE,
    before=0.8,
  ),
  "mix.cutmix_alpha": Key(
    1.0, "Alpha of cutmix's ratios, likewise; 0 for no cutmix.", NOT_NEGATIVE, before=1.0
  ),
  "mix.rate": Key(1.0, "Probability that a group is mixed.", PROBABILITY, before=0.0),
  "mix.switch_rate": Key(0.5, "Probability of cutmix, where both are on.", PROBABILITY, before=0.5),
  "mix.group_size": Key(
    128,
    "Images that share a ratio: officially the batch of one GPU.",
    AT_LEAST_ONE,
    fits=True,
    before=128,
  ),
  # optimizer
  "optimizer.learning_rate": Key(
    4e-3,
    "Peak learning rate; it belongs to the batch size and is never rescaled.",
    POSITIVE,
    fits=True,
  ),
  "optimizer.final_learning_rate": Key(
    1e-6, "Learning rate that the cosine tends to.", NOT_NEGATIVE
  ),
  "optimizer.warmup_epochs": Key(
    20.0, "Epochs in which the learning rate grows linearly.", NOT_NEGATIVE, fits=True
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
  "optimizer.accumulation_steps": Key(
    1, "Parts of the batch, one after another on each device.", AT_LEAST_ONE, before=1
  ),
  "optimizer.clip_each_micro_step": Key(
    False,
    "Whether gradients are clipped after each part too, as in the official code.",
    before=False,
  ),
  "optimizer.max_skipped_steps": _operation(
    10,
    "Updates in a row that are not finite, after which the run stops or goes back.",
    AT_LEAST_ONE,
    before=10,
  ),
  "optimizer.max_rollbacks": _operation(
    0,
    "Times that the run goes back to the newest checkpoint, and on with the data after the "
    "failure, before it stops.",
    NOT_NEGATIVE,
    before=0,
  ),
  "optimizer.freeze_backbone": Key(False, "Whether the head alone is trained.", before=False),
  # init
  "init.checkpoint": Key(
    "",
    "Workdir, file of `export` or `convert`, published .pth or .h5, or a name such as "
    "official:hornet_tiny_gf to start from; empty for random weights.",
    before="",
  ),
  "init.class_map": Key(
    "",
    "File with the number that each class has there (.npy, text, .pth); empty for WordNet ids, as "
    "far as the classes are there, and a new head where they have other names.",
    official=False,
    before="",
  ),
  # loss, ema
  "loss.label_smoothing": Key(
    0.1, "Share of the target that is spread over all classes.", FRACTION
  ),
  "ema.decay": Key(
    0.9999,
    "Decay of the moving average of the parameters, for a run of ema.reference_steps.",
    FRACTION,
  ),
  "ema.reference_steps": Key(
    93_600, "Steps whose decay is fitted to a run of others; 0 to use it as it is.", NOT_NEGATIVE
  ),
  # log, eval, checkpoint
  "log.every_steps": _operation(
    50, "Steps from one log line to the next.", AT_LEAST_ONE, fits=True
  ),
  "log.profile_steps": _operation(
    0,
    "Steps, after the first of each start, that are traced for xprof into profile/.",
    NOT_NEGATIVE,
    before=0,
  ),
  "eval.every_epochs": _operation(
    10.0,
    "Epochs from one evaluation to the next; the end is always evaluated.",
    POSITIVE,
    fits=True,
  ),
  "eval.also": _operation((), "Further sets with the same classes, as NAME/SPLIT.", before=()),
  "checkpoint.every_steps": _operation(
    1000,
    "Steps from one checkpoint to the next; what was evaluated, the end and a stop are always "
    "saved.",
    AT_LEAST_ONE,
  ),
  "checkpoint.keep": _operation(3, "Newest checkpoints that are kept.", AT_LEAST_ONE),
  "checkpoint.keep_best": _operation(
    1,
    "Best checkpoints that are kept besides, by accuracy of the averaged weights.",
    NOT_NEGATIVE,
    before=1,
  ),
  "checkpoint.on_full_disk": _operation(
    "stop",
    "What a save that finds no space does: stop, or continue from the last good checkpoint on, "
    "which stays either way. The checkpoint of the end has to be saved.",
    choices=("stop", "continue"),
    before="stop",
  ),
}
