"""Writes the page of a run that is complete."""

import json

from etils import epath

from hornet_jax.files import write_file
from hornet_jax.report.page import Report, render
from hornet_jax.train.loop_result import Outcome
from hornet_jax.versions import versions


def write_report(outcome: Outcome, path: epath.Path, command: str) -> None:
  """Writes the page.

  Args:
    outcome: outcome of a complete run.
    path: path of the page.
    command: the command line that made it.
  """
  trainer, metric = outcome.trainer, outcome.metric
  assert metric is not None, "only a complete run was evaluated"
  config, model = trainer.config, trainer.model
  data = config["data"]
  devices = trainer.mesh.devices.flat

  height, width, channels = trainer.task.schema["image"].shape
  report = Report(
    title=f"{config['model']['variant']} on {data['dataset']}",
    command=command,
    versions=versions(),
    device=f"{len(devices)} x {devices[0].device_kind}",
    config=json.dumps(config, indent=2),
    model=model.clone(execution=model.execution.off_mesh()),
    image_size=(height, width),
    channels=channels,
    params=outcome.ema_params,
    has_average=trainer.step_settings().averages,
    records=outcome.records,
    seconds=outcome.seconds,
    scores=trainer.task.headline(),
    sections=trainer.task.sections(metric, outcome.splits.eval),
  )
  write_file(path, render(report))
