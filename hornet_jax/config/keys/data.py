"""The dataset, how it is read, and what training makes of its images."""

from hornet_jax.config.key import (
  AT_LEAST_ONE,
  NOT_NEGATIVE,
  POSITIVE,
  PROBABILITY,
  Key,
  operation,
)
from hornet_jax.data.pixels.pixel_format import MAX_PIXELS

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
  "data.flip_rate": Key(0.5, "Probability of a horizontal flip.", PROBABILITY, before=0.0),
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
}
