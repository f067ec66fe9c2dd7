"""The input pipeline: the same batches for every number of readers, each example once."""

import collections.abc
import contextlib
import dataclasses
import itertools
import logging
import multiprocessing
import os
import signal

import jax
import numpy as np
import pytest
from processes import CONFIG, SMALL, overrides

from hornet_jax import files
from hornet_jax.cli import config as config_flag
from hornet_jax.data import pipeline
from hornet_jax.data.datasets import open_split
from hornet_jax.data.pipeline import eval_batches, train_batches
from hornet_jax.data.pixels.decode import decode
from hornet_jax.data.views.augment import Augmentation, random_pad_crop
from hornet_jax.data.views.eval_view import EvalView
from hornet_jax.errors import InputError, StorageError
from hornet_jax.tasks import Classification
from hornet_jax.train import input_pipeline
from hornet_jax.train.set_up import set_up

OFFICIAL = Augmentation("random_resized", flip_rate=0.5, rand_augment="rand-m9-mstd0.5-inc1")
TASK = Classification(10, EvalView(16, 1.0), OFFICIAL)
EVAL = {"load": TASK.load, "schema": TASK.schema, "batch_size": 64}
TRAIN = {**EVAL, "seed": 7}


@pytest.fixture(scope="module")
def splits(data_dir):
  return {split: open_split("digits", split, data_dir) for split in ("train", "test")}


def take(iterator, count):
  return list(itertools.islice(iterator, count))


def assert_equal(batch, other):
  for key in batch:
    np.testing.assert_array_equal(batch[key], other[key])


def test_split_is_fixed_and_stratified(splits):
  assert {name: len(split.source) for name, split in splits.items()} == {"train": 1437, "test": 360}
  labels = [example["label"] for example in splits["test"].source]
  assert np.ptp(np.bincount(labels)) <= 2
  pixels = np.asarray(decode(splits["test"].source[0]["image"]))
  assert pixels.shape == (8, 8, 3)
  assert pixels.max() == 255


@pytest.mark.parametrize("readers", [2, 4])
def test_global_batch_is_the_same_for_every_number_of_readers(splits, readers):
  rows = np.arange(64).reshape(readers, -1)
  streams = [train_batches(splits["train"], **TRAIN, rows=part.tolist()) for part in rows]
  for whole in take(train_batches(splits["train"], **TRAIN), 3):
    parts = [next(stream) for stream in streams]
    assert_equal(whole, {key: np.concatenate([p[key] for p in parts]) for key in whole})


def test_starting_late_is_a_seek(splits):
  batches = take(train_batches(splits["train"], **TRAIN), 30)
  late = train_batches(splits["train"], **TRAIN, start_step=27, num_threads=1)
  for expected, batch in zip(batches[27:], late, strict=False):
    assert_equal(batch, expected)


@pytest.mark.slow
def test_processes_that_read_give_the_same_batches_and_end(splits):
  expected = take(train_batches(splits["train"], **TRAIN), 8)[3:]
  before = set(multiprocessing.active_children())
  batches = train_batches(splits["train"], **TRAIN, start_step=3, num_threads=1, num_processes=2)
  with contextlib.closing(batches):
    for batch in expected:
      assert_equal(next(batches), batch)
    workers = set(multiprocessing.active_children()) - before
    assert len(workers) == 2
    for worker in workers:
      # Of Ctrl-C every process of a terminal hears: the one that trains decides.
      os.kill(worker.pid, signal.SIGINT)
      os.kill(worker.pid, signal.SIGTERM)
    take(batches, 8)
  assert not any(worker.is_alive() for worker in workers)


@pytest.mark.parametrize("readers", [1, 2, 4])
def test_each_example_once_per_pass_in_a_new_order(splits, readers):
  parts = [
    take(train_batches(splits["train"], **TRAIN, rows=rows.tolist()), 45)
    for rows in np.arange(64).reshape(readers, -1)
  ]
  steps = zip(*parts, strict=True)
  stream = np.concatenate([part["index"] for step in steps for part in step])
  first, second = stream[:1437], stream[1437:2874]
  for one_pass in (first, second):
    np.testing.assert_array_equal(np.sort(one_pass), np.arange(1437))
  assert (first != second).any()


def test_augmentation_changes_from_pass_to_pass_and_with_the_seed(splits):
  batches = take(train_batches(splits["train"], **TRAIN), 45)
  images = {}
  for batch in batches:
    for index, image in zip(batch["index"], batch["image"], strict=True):
      images.setdefault(int(index), []).append(image)
  twice = [pair for pair in images.values() if len(pair) == 2]
  assert np.mean([np.array_equal(*pair) for pair in twice]) < 0.2
  other = next(train_batches(splits["train"], **{**TRAIN, "seed": 8}))
  assert (other["index"] != batches[0]["index"]).any()


@pytest.mark.parametrize("readers", [1, 2, 4])
def test_evaluation_counts_each_example_once(splits, readers):
  rows = np.arange(64).reshape(readers, -1)
  counted = []
  for part in rows:
    batches = list(eval_batches(splits["test"], **EVAL, rows=part.tolist()))
    assert len(batches) == 6  # the same for every reader
    for batch in batches:
      counted.append(batch["index"][batch["weight"] > 0])
      assert (batch["index"][batch["weight"] == 0] == -1).all()
  np.testing.assert_array_equal(np.sort(np.concatenate(counted)), np.arange(360))


@pytest.mark.slow
def test_evaluation_by_processes_is_the_same_and_ends_them(splits, monkeypatch):
  monkeypatch.setattr(pipeline, "_WORTH_A_PROCESS", 1)
  rows = list(range(16, 48))
  expected = list(eval_batches(splits["test"], **EVAL, rows=rows, key=label_of))
  before = set(multiprocessing.active_children())
  batches = eval_batches(
    splits["test"], **EVAL, rows=rows, num_threads=1, num_processes=3, key=label_of
  )
  found = [next(batches)]
  workers = set(multiprocessing.active_children()) - before
  assert len(workers) == 3
  found += batches
  assert len(found) == len(expected) == 6
  for batch, other in zip(expected, found, strict=True):
    assert_equal(batch, other)
  assert not any(worker.is_alive() for worker in workers)


def label_of(example):
  return int(example["label"])


@pytest.mark.parametrize(
  ("worth", "batch_size", "rows", "count"),
  [(1000, 60, 60, 0), (120, 60, 60, 3), (120, 60, 20, 1), (1, 180, 180, 2), (1, 1, 1, 16)],
)
def test_few_images_are_read_by_few_processes(splits, monkeypatch, worth, batch_size, rows, count):
  """At least `worth` images each, of the 360 or of this host's third, and a batch."""

  def chosen(dataset, size, rows, num_threads, num_processes, at_most):
    yield num_processes

  monkeypatch.setattr(pipeline, "_WORTH_A_PROCESS", worth)
  monkeypatch.setattr(pipeline, "_iterate", chosen)
  settings = {**EVAL, "batch_size": batch_size, "rows": list(range(rows)), "num_processes": 16}
  assert list(eval_batches(splits["test"], **settings)) == [count]


def test_undecodable_image_keeps_its_place_with_weight_zero(splits, caplog):
  source = [dict(splits["test"].source[i]) for i in range(6)]
  source[2]["image"] = source[2]["image"][:40]
  broken = dataclasses.replace(splits["test"], source=source)
  with caplog.at_level(logging.WARNING, logger="hornet_jax"):
    (batch,) = eval_batches(broken, **{**EVAL, "batch_size": 6})
  np.testing.assert_array_equal(batch["weight"], [1, 1, 0, 1, 1, 1])
  np.testing.assert_array_equal(batch["index"], np.arange(6))
  assert not batch["image"][2].any()
  assert caplog.text.count("left out") == 1
  assert "example 2 of digits/test left out" in caplog.text


class Failing(collections.abc.Sequence):
  """The examples of a store that fails for a while, or for good."""

  def __init__(self, source, failures):
    self.source, self.failures = source, failures

  def __len__(self):
    return len(self.source)

  def __getitem__(self, index):
    if self.failures:
      self.failures -= 1
      raise RuntimeError("UNAVAILABLE: the store does not answer")
    return self.source[index]


def test_what_is_refused_is_named(splits):
  def refuse(example, rng):
    raise InputError("too much on it")

  examples = [{**splits["train"].source[0], "file_name": b"b/c.png"}]
  source = dataclasses.replace(splits["train"], source=examples)
  with pytest.raises(InputError, match=r"^example 0 of digits/train \(b/c.png\): too much on it"):
    next(train_batches(source, refuse, TASK.schema, batch_size=1, seed=0))


def test_a_store_is_asked_again_for_an_example(splits, monkeypatch, untyped):
  monkeypatch.setattr(files, "PAUSES", (0.0, 0.0))
  test = splits["test"]
  settings = {**EVAL, "batch_size": 6, "num_threads": 1}
  expected = next(eval_batches(test, **settings))
  batches = eval_batches(dataclasses.replace(test, source=Failing(test.source, 2)), **settings)
  jax.tree.map(np.testing.assert_array_equal, next(batches), expected)
  batches.close()
  broken = dataclasses.replace(test, source=Failing(test.source, 10**9))
  with pytest.raises(StorageError, match=r"reading example \d+ of digits/test failed 3 times"):
    next(eval_batches(broken, **settings))


def test_batch_larger_than_the_split(splits):
  with pytest.raises(ValueError, match=r"at most 1437 for digits/train, got 2048"):
    train_batches(splits["train"], **{**TRAIN, "batch_size": 2048})


def test_random_pad_crop_shifts_only():
  image = np.ones((5, 6, 3), np.uint8)
  rng = np.random.default_rng(0)
  sums = {int(random_pad_crop(image, 2, rng).sum()) for _ in range(200)}
  assert max(sums) == image.sum()
  assert min(sums) == 3 * 4 * 3


def test_evaluation_reads_as_training_does(data_dir, monkeypatch):
  asked = []

  def nothing(*_, **settings):
    asked.append(settings)
    yield from ()

  monkeypatch.setattr(input_pipeline, "eval_batches", nothing)
  settings = {**SMALL, "data.data_dir": data_dir, "data.num_processes": 5, "data.num_threads": 3}
  config = config_flag.load(CONFIG, overrides(settings))
  _, inputs = set_up(config, jax.devices()[:1])
  assert list(inputs.eval_batches(inputs.splits.eval)) == []
  assert (asked[0]["num_processes"], asked[0]["num_threads"]) == (5, 3)
