"""Faults of one process: input that stalls, training that breaks down, processes without hosts."""

import itertools
import json
import logging
import threading
import time

import jax
import numpy as np
import pytest
from etils import epath
from processes import CONFIG, SMALL, overrides

from hornet_jax.checkpoints.newest_valid import load_params
from hornet_jax.cli import config as config_flag
from hornet_jax.errors import DivergedError, StalledError
from hornet_jax.runs.records import read_records
from hornet_jax.runs.rollback import Rollbacks
from hornet_jax.runs.timeout import with_timeout
from hornet_jax.train.input_pipeline import InputPipeline
from hornet_jax.train.run import train


@pytest.fixture
def load(data_dir):
  def config(**settings):
    return config_flag.load(
      CONFIG, overrides({**SMALL, "data.data_dir": data_dir, "mix.rate": 0.0, **settings})
    )

  return config


def change_batches(monkeypatch, change):
  """`change(position, batch)` for every batch, positions counted from 1."""
  read = InputPipeline.train_batches

  def train_batches(self, start_step):
    for position, batch in enumerate(read(self, start_step), start_step + 1):
      yield change(position, batch)

  monkeypatch.setattr(InputPipeline, "train_batches", train_batches)


@pytest.mark.slow
def test_stalled_input_is_explained_and_saved_before(load, tmp_path, monkeypatch):
  awake = threading.Event()

  def stall(position, batch):
    if position == 7:
      awake.wait()
    return batch

  change_batches(monkeypatch, stall)
  config = load(**{"data.stall_seconds": 8.0, "log.every_steps": 1})
  with pytest.raises(StalledError, match=r"data.stall_seconds, 8 s: digits/train, read by 2 thr"):
    train(config, epath.Path(tmp_path), jax.devices()[:1])
  awake.set()
  assert load_params(epath.Path(tmp_path) / "checkpoints")[0] == 6
  # What is saved was judged, and logged, before.
  assert read_records(epath.Path(tmp_path))[-1]["step"] == 6


def test_watched_batches_are_the_same_and_end_with_their_reader():
  closed = []

  def read(count):
    try:
      for number in range(count):
        yield {"x": np.array(number)}
      if count == 3:
        raise OSError("a disk")
    finally:
      closed.append(count)

  source = read(10**9)  # kept, as what nobody has any more is closed anyway
  batches = with_timeout(source, 5.0, "a source")
  assert [int(next(batches)["x"]) for _ in range(5)] == list(range(5))
  before = time.monotonic()
  batches.close()
  assert closed == [10**9]
  assert time.monotonic() - before < 2
  assert len(list(with_timeout(read(2), 5.0, "a source"))) == 2
  with pytest.raises(OSError, match="a disk"):
    list(with_timeout(read(3), 5.0, "a source"))


def test_batches_that_were_left_out_stay_left_out(tmp_path):
  """From whichever checkpoint a run goes on: one before the rollback comes to them again."""
  workdir = epath.Path(tmp_path)

  def next_batches(step, count):
    batches = Rollbacks(workdir).batches(step, lambda first: (i for i in itertools.count(first)))
    return list(itertools.islice(batches, count))

  assert next_batches(3, 3) == [3, 4, 5]
  Rollbacks(workdir).add(failed=13, restored=10, most=9)  # batches 10 to 12
  assert next_batches(10, 2) == [13, 14]
  assert next_batches(11, 2) == [14, 15]
  assert next_batches(8, 4) == [8, 9, 13, 14]
  Rollbacks(workdir).add(failed=12, restored=8, most=9)  # up to the batch of step 12, which is 14
  assert Rollbacks(workdir).left_out() == [range(8, 15)]
  assert next_batches(5, 5) == [5, 6, 7, 15, 16]
  Rollbacks(workdir).add(failed=9, restored=8, most=9)  # batch 15
  Rollbacks(workdir).add(failed=2, restored=0, most=9)
  assert next_batches(0, 8) == [2, 3, 4, 5, 6, 7, 16, 17]
  assert Rollbacks(workdir).count == 4


@pytest.mark.slow
def test_rollback_leaves_out_the_data_of_the_failure(load, tmp_path, monkeypatch, caplog):
  positions = []

  def poison(position, batch):
    positions.append(position)
    if 11 <= position <= 13:
      return {**batch, "weight": np.full_like(batch["weight"], np.nan)}
    return batch

  change_batches(monkeypatch, poison)
  settings = {"checkpoint.every_steps": 5, "optimizer.max_skipped_steps": 3}
  settings |= {"epochs": 1.0, "log.every_steps": 1, "data.stall_seconds": 0.0}
  with pytest.raises(DivergedError, match=r"step 13 .*is step 10\. Hint: .*max_rollbacks"):
    train(load(**settings), epath.Path(tmp_path / "ends"), jax.devices()[:1])
  assert positions == list(range(1, 15))  # step 13 is judged while 14 runs

  positions.clear()
  config = load(**settings, **{"optimizer.max_rollbacks": 1})
  with caplog.at_level(logging.WARNING, "hornet_jax"):
    outcome = train(config, epath.Path(tmp_path), jax.devices()[:1])
  assert outcome.complete
  assert "rollback 1 of 1: step 13 was not finite; back to step 10" in caplog.text
  assert positions == [*range(1, 15), *range(14, 26)]  # 22 steps, the last 12 with later data
  assert json.loads((tmp_path / "rollbacks.json").read_text()) == [{"failed": 13, "restored": 10}]
  steps = [r["step"] for r in read_records(epath.Path(tmp_path)) if "train/loss" in r]
  assert steps == list(range(1, 23))

  # What goes on later keeps the place in the data.
  assert Rollbacks(epath.Path(tmp_path)).left_out() == [range(10, 13)]
