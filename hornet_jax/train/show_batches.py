"""The first training batches of a config, exactly as the model sees them."""

import itertools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from hornet_jax.report.batches import ShownBatch, render_batches
from hornet_jax.train.experiment import Experiment
from hornet_jax.train.step import example_keys, training_view


def show_batches(
  config: Mapping[str, Any], command: str, *, num_batches: int, num_rows: int
) -> str:
  """A page with the rows of the first training batches, their classes and shares.

  Batches come from the pipeline that training reads, erasing and mixing from the function
  that the train step calls, with the keys of the same steps.

  Args:
    config: nested, with the keys of configs/common.py.
    command: the command line that made the page.
    num_batches: how many batches.
    num_rows: how many rows of each.

  Raises:
    InputError: if a setting is bad or the dataset not prepared.
  """
  experiment = Experiment(config, jax.devices()[:1])
  experiment.check_batch()
  settings, num_classes = experiment.step_settings(), experiment.model.num_classes
  data = config["data"]
  num_rows = min(num_rows, data["batch_size"])

  @jax.jit
  def view(batch, step):
    keys = example_keys(settings.seed, step, batch["image"].shape[0])
    return training_view(batch, keys, num_classes, experiment.preprocess, settings)

  shown = []
  for step, batch in enumerate(itertools.islice(experiment.train_batches(0), num_batches)):
    images, targets, ratio = view(batch, step)
    pixels = np.asarray(images[:num_rows]) * data["std"] + data["mean"]
    smoothing = settings.label_smoothing
    shares = (np.asarray(targets[:num_rows]) - smoothing / num_classes) / (1 - smoothing)
    shown.append(
      ShownBatch(
        step=step,
        images=np.round(255 * np.clip(pixels, 0, 1)).astype(np.uint8),
        shares=shares,
        ratios=np.asarray(ratio[:num_rows]),
        weights=batch["weight"][:num_rows],
      )
    )
  split = experiment.train_split
  summary = (
    f"The first {num_rows} of {data['batch_size']} rows of {num_batches} training batches, after "
    "cropping, flipping, erasing and mixing, as the model sees them. Beside each class its share "
    f"of the target; label smoothing then spreads {smoothing:g} of it over all classes."
  )
  title = f"Training batches of {split.name}"
  return render_batches(title, summary, command, split.class_names, shown)
