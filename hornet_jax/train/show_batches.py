"""The first training batches of a config, exactly as the model sees them."""

import itertools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from hornet_jax.report.batches import ShownBatch, render_batches
from hornet_jax.train.set_up import set_up
from hornet_jax.train.step import example_keys


def show_batches(
  config: Mapping[str, Any], command: str, *, num_batches: int, num_rows: int
) -> str:
  """Makes a page with the rows of the first training batches and what they are to teach.

  Batches come from the pipeline that training reads, erasing and mixing from the function
  that the train step calls, with the keys of the same steps.

  Args:
    config: nested, with the keys of `config.schema`.
    command: the command line that made the page.
    num_batches: how many batches.
    num_rows: how many rows of each.

  Raises:
    InputError: if a setting is bad or the dataset not prepared.
  """
  trainer, pipeline = set_up(config, jax.devices()[:1])
  trainer.check_batch()
  task, seed = trainer.task, config["seed"]
  data = trainer.config["data"]
  num_rows = min(num_rows, data["batch_size"])

  @jax.jit
  def view(batch, step):
    return task.inputs(batch, example_keys(seed, step, batch["image"].shape[0]), train=True)

  split, shown = pipeline.splits.train, []
  for step, batch in enumerate(itertools.islice(pipeline.train_batches(0), num_batches)):
    inputs = {name: np.asarray(rows[:num_rows]) for name, rows in view(batch, step).items()}
    pixels = inputs["image"] * data["std"] + data["mean"]
    images = np.round(255 * np.clip(pixels, 0, 1)).astype(np.uint8)
    captions = task.captions(inputs, split.class_names)
    shown.append(ShownBatch(step, images, captions, inputs["weight"]))
  summary = (
    f"The first {num_rows} of {data['batch_size']} rows of {num_batches} training batches, "
    f"{shown[0].captions.summary}"
  )
  return render_batches(f"Training batches of {split.name}", summary, command, shown)
