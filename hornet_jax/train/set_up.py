"""A trainer and its input pipeline are made from a config."""

import logging
from collections.abc import Mapping
from typing import Any

import jax

from hornet_jax.config.check import check_config
from hornet_jax.config.fit import fit
from hornet_jax.data.class_balance import ClassBalance, class_weights, read_labels
from hornet_jax.data.datasets import Split
from hornet_jax.data.image_info import check_channels
from hornet_jax.parallel.mesh import make_mesh
from hornet_jax.train.input_pipeline import InputPipeline, open_splits
from hornet_jax.train.trainer import Trainer

_logger = logging.getLogger(__name__)


def set_up(
  config: Mapping[str, Any], devices: list[jax.Device] | None = None
) -> tuple[Trainer, InputPipeline]:
  """Opens the datasets, fits what is to suit them and checks all that can be checked beforehand.

  Args:
    config: nested, with the keys of `config.schema`.
    devices: devices to use; None for all.

  Raises:
    InputError: if a setting is bad, or a dataset is unknown or not prepared.
  """
  check_config(config)
  mesh = make_mesh(devices, config["mesh"]["fsdp"])
  splits = open_splits(config)
  num_classes, num_examples = len(splits.train.class_names), len(splits.train.source)
  config, fitted = fit(config, num_examples, splits.train.image_info)
  if fitted:
    _logger.info("%s", fitted)
    check_config(config)
  train = splits.train
  check_channels(train.image_info, config["data"]["channels"], train.name)
  config = _weighted(config, train)
  trainer = Trainer(config, mesh, num_classes=num_classes, num_examples=num_examples)
  trainer.task.check_training(train)
  return trainer, InputPipeline(config, splits, trainer.task, mesh)


def _weighted(config: Mapping[str, Any], split: Split) -> Mapping[str, Any]:
  """Computes the weights of the classes where a config asks for them; its record has them."""
  loss = config["loss"]
  if loss["class_weighting"] == "none" or loss["class_weights"]:
    return config
  balance = ClassBalance(read_labels(split), config["data"]["class_balance"])
  counts = balance.shares(len(split.class_names))  # of a pass
  weights = class_weights(counts, loss["class_weighting"])
  return {**config, "loss": {**loss, "class_weights": weights}}
