"""Runs the launch scripts in an environment of their own."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
LAUNCH = ROOT / "experiments" / "launch"
TRAIN = ["--config=configs/imagenet1k.py:variant=tiny_gf", "--config.data.data_dir=gs://b/a dir"]


def environment(**variables):
  """Only what a test says is set."""
  kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
  return kept | {"PYTHON": sys.executable} | variables


def bash(script, *arguments, check=True, **variables):
  return subprocess.run(
    ["bash", str(LAUNCH / script), *arguments],
    env=environment(**variables),
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=60,
    check=check,
  )


def commands(script, *arguments, **variables):
  """What a dry run prints, one command a line, as words."""
  lines = bash(script, *arguments, DRY_RUN="1", **variables).stdout.splitlines()
  lines = [line for line in lines if not line.startswith("#")]
  words = (subprocess.check_output(["bash", "-c", f"printf '%s\\0' {line}"]) for line in lines)
  return [printed.decode().split("\0")[:-1] for printed in words]


def program(folder, name, body):
  """A program of our own; returns a path that finds it first."""
  folder.mkdir(exist_ok=True, parents=True)
  (folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
  (folder / name).chmod(0o755)
  return f"{folder}:{os.environ['PATH']}"
