"""The dataset, how it is read, and what training makes of its images."""

from hornet_jax.config.key import (
  AT_LEAST_ONE,
  FRACTION,
  NOT_NEGATIVE,
  POSITIVE,
  PROBABILITY,
  SHARE,
  Key,
  later,
  operation,
)
from hornet_jax.data.pixel_format import MAX_PIXELS

DATA: dict[str, Key] = {
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
  "data.unique_images": later(
    0,
    "Images of that split to train on, equally many of each class as far as there are; fewer are "
    "always among more. 0 for all.",
    NOT_NEGATIVE,
    before=0,
  ),
  "data.data_dir": operation(
    "", "Folder of prepared datasets; empty for $TFDS_DATA_DIR or ~/tensorflow_datasets."
  ),
  "data.image_size": Key(224, "Side of the images, in pixels.", AT_LEAST_ONE, evaluation=True),
  "data.batch_size": Key(
    4096, "Images in the global batch of a training step.", AT_LEAST_ONE, fits=True
  ),
  "data.eval_batch_size": operation(
    4096,
    "Images in the global batch of an evaluation step; fewer where there are fewer, or where their "
    "arrays are large.",
    AT_LEAST_ONE,
    fits=True,
  ),
  "data.class_balance": Key(
    0.0,
    "How far rare classes are shown more often, from 0, as often as their images are, to 1, as "
    "often as any other.",
    PROBABILITY,
    official=False,
    before=0.0,
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
    "rand-m9-mstd0.5-inc1", "RandAugment in timm's notation; empty for none.", fits=True, before=""
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
  "data.channels": Key(
    3,
    "Channels of an image: 1 grey, 3 RGB, 4 RGB and opacity, else as many as the files have.",
    AT_LEAST_ONE,
    official=False,
    fits=True,
    evaluation=True,
    before=3,
  ),
  "data.max_value": Key(
    0.0,
    "Value of full brightness in files of more than 8 bits, such as 4095 of 12-bit cameras; 0 "
    "for the largest of their type.",
    NOT_NEGATIVE,
    official=False,
    fits=True,
    evaluation=True,
    before=0.0,
  ),
  "data.max_pixels": operation(
    MAX_PIXELS,
    "Pixels of the largest image that is decoded, larger ones count as unreadable; 0 for no limit.",
    NOT_NEGATIVE,
    fits=True,
    before=MAX_PIXELS,
  ),
  "data.mean": Key(
    (0.485, 0.456, 0.406),
    "Mean of each channel, of pixels in [0, 1].",
    PROBABILITY,
    fits=True,
    evaluation=True,
    per="data.channels",
  ),
  "data.std": Key(
    (0.229, 0.224, 0.225),
    "Standard deviation of each channel.",
    POSITIVE,
    fits=True,
    evaluation=True,
    per="data.channels",
  ),
  "data.num_threads": operation(2, "Threads that read, in each process that does.", AT_LEAST_ONE),
  "data.num_processes": operation(
    0,
    "Processes a host that read, beside the one that trains; with 0 that one does.",
    NOT_NEGATIVE,
    before=0,
  ),
  "data.max_undecodable": operation(
    100, "Unreadable images per process, after which the run stops.", NOT_NEGATIVE
  ),
  "data.stall_seconds": operation(
    600.0,
    "Seconds that a batch may take before the run ends; 0 for no limit.",
    NOT_NEGATIVE,
    before=600.0,
  ),
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
}
