"""A trainer and its input pipeline are made from a config."""

import logging
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from hornet_jax.config.check import check_config
from hornet_jax.config.fit import fit
from hornet_jax.data.class_balance import ClassBalance, class_weights, describe, read_labels
from hornet_jax.data.datasets import Split
from hornet_jax.data.image_info import check_channels
from hornet_jax.errors import InputError
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
  config, balance = _balanced(config, train)
  trainer = Trainer(config, mesh, num_classes=num_classes, num_examples=num_examples)
  return trainer, InputPipeline(config, splits, trainer.task, mesh, balance)


def _balanced(
  config: Mapping[str, Any], split: Split
) -> tuple[Mapping[str, Any], ClassBalance | None]:
  """Computes the weights of the classes that a config asks for, and how they are sampled."""
  strength, loss = config["data"]["class_balance"], config["loss"]
  is_weighted = loss["class_weighting"] != "none"
  if loss["class_weights"] and is_weighted:
    raise InputError(
      "`loss.class_weights` are given or computed: expected loss.class_weighting='none' with "
      f"them, got {loss['class_weighting']!r}."
    )
  if not (strength or is_weighted):
    return config, None
  labels, names = read_labels(split), split.class_names
  _logger.info("%s\n%s", split.name, describe(names, labels, strength, loss["class_weighting"]))
  if is_weighted:
    counts = np.bincount(labels, minlength=len(names))
    weights = class_weights(counts, loss["class_weighting"])
    config = {**config, "loss": {**loss, "class_weights": weights}}
  return config, ClassBalance(labels, strength) if strength else None
