"""One small experiment of every task; a further task is one more entry.

What holds of all of them is tested over this table: tests/test_all_tasks.py, causes of an end in
tests/test_exit_status.py.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

STEPS_PER_EPOCH = 22


@dataclasses.dataclass(frozen=True)
class SmallTask:
  """An experiment of 22 steps an epoch with a model of two stages.

  Attributes:
    config: config file and its argument.
    dataset: name of a dataset that is drawn, not downloaded.
    settings: config key -> value.
    exact_steps: number of steps after which losses may differ by more than rounding, and scores,
      on another number of processes: an untrained detector ranks boxes of almost equal scores,
      which rounding turns about, and learns from others then.
  """

  config: str
  dataset: str
  settings: Mapping[str, Any]
  exact_steps: int = 10**9

  def overrides(self, data_dir, **settings):
    """Writes the arguments of a command; `optimizer__b1` stands for optimizer.b1."""
    given = {name.replace("__", "."): value for name, value in settings.items()}
    values = {**_SETTINGS, **self.settings, "data.data_dir": data_dir, **given}
    return [f"--config.{key}={value}" for key, value in values.items()]


_SETTINGS = {
  "model.scan": False,
  "model.drop_path_rate": 0.3,
  "data.num_processes": 0,
  "epochs": 1.0,
  "optimizer.warmup_epochs": 0.1,
  "log.every_steps": 1,
}
TASKS = {
  "classification": SmallTask(
    "configs/digits.py:variant=nano_7x7,runlocal",
    "digits",
    {"data.image_size": 16, "data.crop_padding": 2, "mix.group_size": 8},
  ),
  "segmentation": SmallTask(
    "configs/shapes_segmentation.py:variant=nano_7x7",
    "shapes",
    {
      "data.image_size": 32,
      "data.batch_size": 8,
      "data.eval_batch_size": 8,
      "data.train_split": "train[:176]",
      "data.eval_split": "test[:11]",
      "segmentation.channels": 8,
      "segmentation.auxiliary_channels": 4,
      "segmentation.long_side": 32,
      "segmentation.short_side": 32,
    },
  ),
  "detection": SmallTask(
    "configs/shapes_detection.py:variant=nano_7x7",
    "shapes_coco",
    {
      "data.image_size": 64,
      "data.batch_size": 8,
      "data.eval_batch_size": 8,
      "data.train_split": "train[:176]",
      "data.eval_split": "test[:11]",
      "detection.channels": 8,
      "detection.hidden": 8,
      "detection.train_proposals": 24,
      "detection.proposals": 16,
      "detection.compared": 24,
      "detection.anchor_samples": 16,
      "detection.samples": 16,
      "detection.detections": 8,
      "detection.canvases": ("64x64",),
      "detection.long_side": 64,
      "detection.short_side": 64,
      "detection.short_sides": (48, 64),
      "detection.crop_short_sides": (64,),
      "detection.crop_sides": (32, 56),
      "detection.mask_side": 28,
    },
    exact_steps=2,
  ),
}
