"""Writes the page of a run that is complete."""

import json

import numpy as np
from etils import epath

from hornet_jax.report.page import Report, render
from hornet_jax.train.files import write_file
from hornet_jax.train.loop import Outcome
from hornet_jax.versions import versions


def write_report(outcome: Outcome, path: epath.Path, command: str) -> None:
  """Writes the page.

  Args:
    outcome: of a complete run.
    path: of the page.
    command: the command line that made it.
  """
  experiment, predictions = outcome.experiment, outcome.predictions
  assert predictions is not None, "only a complete run has predictions"
  config = experiment.config
  data = config["data"]
  split = experiment.eval_split
  devices = experiment.mesh.devices.flat

  def image_of(example: int) -> np.ndarray:
    encoded = split.source[int(predictions.index[example])]["image"]
    return experiment.eval_view(experiment.eval_view.library.decode(encoded))

  report = Report(
    title=f"{config['model']['variant']} on {data['dataset']}",
    command=command,
    versions=versions(),
    device=f"{len(devices)} x {devices[0].device_kind}",
    config=json.dumps(config, indent=2),
    model=experiment.model.clone(batch_axes=(), gather=False),  # its shapes need no mesh
    image_size=data["image_size"],
    params=outcome.ema_params,
    records=outcome.records,
    seconds=outcome.seconds,
    class_names=split.class_names,
    labels=predictions.label,
    predictions=predictions.prediction,
    confidences=predictions.confidence,
    image_of=image_of,
  )
  write_file(path, render(report))
