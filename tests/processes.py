"""What the tests of several processes start: python processes.py ACTION ...

losses OUT SETTINGS: some steps of small experiments, and their evaluation.
train LEDGER ...: the command, which notes the examples of each step. Process I kills itself before
step N where KILL_AT is I:N, once a checkpoint is there, or stops as a host that hangs (STOP_AT).
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys

from compiling import QUICK_FLAGS
from waiting import wait_for

ROOT = pathlib.Path(__file__).parents[1]
STEPS = 10
STARTED = []
DEAD_PROXY = "http://127.0.0.1:9"
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


def start(
  arguments, count=1, devices=2, only=None, cache=None, variables=None, own=None, files=None
):
  """The processes of a command, with the arguments that several need.

  `only` names the one to start, `own` the arguments of each; `files` of them may be open at first.
  """
  port = free_port()
  environment = {
    **os.environ,
    "PYTHONPATH": f"{ROOT}:{ROOT}/tests",
    "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} {QUICK_FLAGS}",
    **(variables or {}),
  }
  if cache:
    environment["JAX_COMPILATION_CACHE_DIR"] = str(cache)
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
  limited = ["sh", "-c", f'ulimit -Sn {files} && exec "$@"', "sh"] if files else []
  started = []
  for process in range(count) if only is None else [only]:
    several = [f"--coordinator=127.0.0.1:{port}", f"--num_processes={count}"]
    several.append(f"--process_id={process}")
    more = [*(several if count > 1 else []), *(own or {}).get(process, [])]
    started.append(
      subprocess.Popen(
        [*limited, sys.executable, *arguments, *more],
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
  import numpy as np

  from hornet_jax.cli import config as config_flag
  from hornet_jax.cli import hosts
  from hornet_jax.parallel import sharding
  from hornet_jax.parallel.mesh import batch_sharding, on_host, to_devices
  from hornet_jax.tasks.predictions import Accuracy
  from hornet_jax.train.evaluate import evaluate_split
  from hornet_jax.train.set_up import set_up

  sharding.MIN_SIZE = 128  # so that those of a small model are cut as well
  parser = argparse.ArgumentParser()
  hosts.add_arguments(parser)
  with hosts.joined(parser.parse_args(several)):
    results = []
    for own in json.loads(settings):
      evaluated = own["evaluated"]
      config = config_flag.load(own["config"], own["overrides"])
      trainer, inputs = set_up(config)
      step = trainer.compile_train_step()
      state, batches = trainer.create_state(), inputs.train_batches(0)
      of_steps, seen = [], []
      for _ in range(STEPS):
        batch_size = config["data"]["batch_size"]
        rows = to_devices(next(batches), batch_size, batch_sharding(trainer.mesh))
        seen.append(on_host(rows["index"], trainer.mesh).tolist())
        state, metrics = step(state, rows)
        of_steps.append(float(metrics["loss"]))
      batches.close()
      cut = [leaf for leaf in jax.tree.leaves(state.params) if not leaf.is_fully_replicated]
      result = {
        "losses": of_steps,
        "examples": seen,
        "cut": len(cut),
        "processes": jax.process_count(),
        "model_state": [  # whole on every process
          float(number)
          for leaf in jax.tree.leaves(state.model_state)
          for number in np.ravel(leaf.addressable_data(0))
        ],
      }
      if evaluated:
        step = trainer.compile_eval_step(inputs.eval_batch_size, inputs.eval_schemas)
        (metric,) = evaluate_split(trainer, inputs, step, [state.variables()], inputs.splits.eval)
        result["metrics"], result["count"] = metric.compute(), metric.count
        if isinstance(metric, Accuracy):
          result["evaluated"] = metric.predictions().index.tolist()
      results.append(result)
    if jax.process_index() == 0:
      pathlib.Path(out).write_text(json.dumps(results))


def train(ledger, arguments):
  """The command line; each process adds a line of examples for each step."""
  import jax

  from hornet_jax.cli.main import main
  from hornet_jax.train import loop

  place = loop.to_devices
  kill = "STOP_AT" not in os.environ
  fault = os.environ.get("KILL_AT" if kill else "STOP_AT", "-1:0")
  victim, step = (int(number) for number in fault.split(":"))
  (workdir,) = (a.removeprefix("--workdir=") for a in arguments if a.startswith("--workdir="))
  placed = 0

  def noted(batch, *others):
    nonlocal placed
    placed += 1
    if placed == step and jax.process_index() == victim:
      wait_for(lambda: list(pathlib.Path(workdir).glob("checkpoints/*/hornet_manifest.json")))
      os.kill(os.getpid(), signal.SIGKILL if kill else signal.SIGSTOP)
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
