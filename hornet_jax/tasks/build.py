"""The task and the model that a config describes are built here."""

from collections.abc import Mapping
from typing import Any

from hornet_jax.config.build import build_model
from hornet_jax.models import Architecture
from hornet_jax.tasks import get_task
from hornet_jax.train.task import Task


def build_task(config: Mapping[str, Any], num_classes: int) -> tuple[Task, Architecture]:
  """Builds the task of a config, and its model as one device computes it.

  Args:
    config: nested, with the keys of `config.schema`.
    num_classes: number of classes of the dataset; 0 where it has none.

  Raises:
    InputError: if a setting is bad.
  """
  task = get_task(config["task"]).from_config(config, num_classes)
  backbone = build_model(config["model"], config["data"], num_classes=0)
  return task, task.build(backbone)
