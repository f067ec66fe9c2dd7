"""What the tests of several processes start: python processes.py ACTION ...

losses OUT SETTINGS: some steps of small experiments, and their evaluation.
train LEDGER ...: the command, which notes the examples of each step.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
STEPS = 10
STARTED = []
CONFIG = "configs/digits.py:variant=nano_gf,runlocal"
SMALL = {
  "data.image_size": 16,
  "data.crop_padding": 2,
  "model.drop_path_rate": 0.3,
  "optimizer.warmup_epochs": 0.1,
  "mix.rate": 1.0,
  "mix.group_size": 8,
}


def overrides(settings):
  return [f"--config.{key}={value}" for key, value in settings.items()]


def free_port():
  """A port that is free, as is the next."""
  while True:
    with socket.socket() as first, socket.socket() as second:
      first.bind(("", 0))
      try:
        second.bind(("", first.getsockname()[1] + 1))
      except OSError:
        continue
      return first.getsockname()[1]


def start(arguments, count=1, devices=2, only=None, cache=None):
  """The processes of a command, with the arguments that several need."""
  port = free_port()
  environment = {
    **os.environ,
    "PYTHONPATH": f"{ROOT}:{ROOT}/tests",
    # Half the time to compile.
    "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} "
    "--xla_llvm_disable_expensive_passes=true",
  }
  if cache:
    environment["JAX_COMPILATION_CACHE_DIR"] = str(cache)
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
  started = []
  for process in range(count) if only is None else [only]:
    several = [f"--coordinator=127.0.0.1:{port}", f"--num_processes={count}"]
    several.append(f"--process_id={process}")
    started.append(
      subprocess.Popen(
        [sys.executable, *arguments, *(several if count > 1 else [])],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
      )
    )
  STARTED.extend(started)
  return started


def losses(out, settings, several):
  """Writes losses and metrics of an evaluation for each of several settings."""
  import argparse

  import jax

  from hornet_jax.cli import config as config_flag
  from hornet_jax.cli import hosts
  from hornet_jax.train import sharding
  from hornet_jax.train.experiment import Experiment
  from hornet_jax.train.mesh import batch_sharding, on_host, to_devices

  sharding.MIN_SIZE = 128  # so that those of a small model are cut as well
  parser = argparse.ArgumentParser()
  hosts.add_arguments(parser)
  with hosts.joined(parser.parse_args(several)):
    results = []
    for own in json.loads(settings):
      variant, evaluated = own.pop("variant"), own.pop("evaluated")
      config = config_flag.load(
        f"configs/digits.py:variant={variant},runlocal", overrides({**SMALL, **own})
      )
      experiment = Experiment(config)
      step = experiment.compile_train_step()
      (state, _), batches = experiment.create_state(), experiment.train_batches(0)
      of_steps, seen = [], []
      for _ in range(STEPS):
        rows = to_devices(next(batches), 64, batch_sharding(experiment.mesh))
        seen.append(on_host(rows["index"], experiment.mesh).tolist())
        state, metrics = step(state, rows)
        of_steps.append(float(metrics["loss"]))
      batches.close()
      cut = [leaf for leaf in jax.tree.leaves(state.params) if not leaf.is_fully_replicated]
      result = {
        "losses": of_steps,
        "examples": seen,
        "cut": len(cut),
        "processes": jax.process_count(),
      }
      if evaluated:
        predictions = experiment.predict(experiment.compile_eval_step(), [state.params])[0]
        result["eval_loss"] = predictions.metrics()["loss"]
        result["evaluated"] = predictions.index.tolist()
      results.append(result)
    if jax.process_index() == 0:
      pathlib.Path(out).write_text(json.dumps(results))


def train(ledger, arguments):
  """The command line; each process adds a line of examples for each step."""
  from hornet_jax.cli.main import main
  from hornet_jax.train import loop

  place = loop.to_devices

  def noted(batch, *others):
    with pathlib.Path(f"{ledger}.{os.getpid()}").open("a") as file:
      file.write(json.dumps(batch["index"].tolist()) + "\n")
    return place(batch, *others)

  loop.to_devices = noted
  return main(["train", *arguments])


if __name__ == "__main__":
  action, *given = sys.argv[1:]
  if action == "losses":
    losses(*given[:2], given[2:])
  else:
    sys.exit(train(given[0], given[1:]))
