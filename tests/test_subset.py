"""Subsets are nested, balanced and made of the images themselves, wherever these lie."""

import dataclasses
import itertools
import json
import pickle

import jax
import numpy as np
import pytest
from etils import epath
from training_sizes import size_of

from hornet_jax.cli import config as config_flag
from hornet_jax.data.class_balance import read_labels
from hornet_jax.data.datasets import Split, open_split
from hornet_jax.data.part import Part
from hornet_jax.data.subset import nested_order, take_subset
from hornet_jax.errors import InputError
from hornet_jax.runs.records import read_records
from hornet_jax.runs.result import read_result
from hornet_jax.train.run import train
from hornet_jax.train.set_up import set_up

ONE = jax.devices()[:1]
COUNTS = (9, 2, 0, 5)


@pytest.fixture(scope="module")
def digits(data_dir):
  return open_split("digits", "train", data_dir)


@pytest.fixture(scope="module")
def load(data_dir):
  def config(**overrides):
    settings = {
      "data.data_dir": data_dir,
      "data.image_size": 16,
      "data.batch_size": 32,
      "model.fields": "base_dim=8, depths=(1,)",
      "optimizer.warmup_epochs": 0.0,
      "log.every_steps": 1,
      **overrides,
    }
    arguments = [f"--config.{key}={value}" for key, value in settings.items()]
    return config_flag.load("configs/digits.py:variant=convnext_iso_micro,runlocal", arguments)

  return config


def images_of(split):
  return [split.source[index]["image"] for index in range(len(split.source))]


def test_order_by_hand():
  labels = np.array([0, 0, 0, 1, 1, 3])
  digests = np.array([30, 10, 20, 15, 5, 40], np.uint64)
  # The smallest digest of each class, then the second, then the third.
  np.testing.assert_array_equal(nested_order(labels, digests), [4, 1, 5, 3, 2, 0])


def test_every_beginning_is_balanced_as_far_as_the_classes_go():
  rng = np.random.default_rng(0)
  labels = rng.permutation(np.repeat(np.arange(4), COUNTS))
  digests = rng.integers(0, 2**63, len(labels)).astype(np.uint64)
  order = nested_order(labels, digests)
  assert sorted(order.tolist()) == list(range(len(labels)))
  for size in range(1, len(labels) + 1):
    shares = np.bincount(labels[order[:size]], minlength=4)
    left = [share for share, count in zip(shares, COUNTS, strict=True) if share < count]
    assert all(share >= max(shares) - 1 for share in left)


def test_subsets_are_nested_whatever_the_order_on_disk(digits):
  small, large = take_subset(digits, 50), take_subset(digits, 200)
  assert images_of(small) == images_of(large)[:50]
  assert len(set(images_of(large))) == 200
  assert np.bincount(read_labels(small)).tolist() == [5] * 10
  examples = [digits.source[int(i)] for i in np.random.default_rng(1).permutation(1437)]
  assert images_of(take_subset(Split("x/train", examples, []), 200)) == images_of(large)
  assert len(read_labels(digits)) == 1437  # what is kept of the whole split is not overwritten
  assert small.name == "digits/train, 50 images"


def test_readers_in_other_processes_get_it(digits):
  subset = Part(Split("x", [{"image": b"a"}, {"image": b"b"}], []), np.array([1, 0]))
  assert pickle.loads(pickle.dumps(subset))[0] == {"image": b"b"}
  with pytest.raises(InputError, match="expected at most 1437 for digits/train, got 1438"):
    take_subset(digits, 1438)


def test_positions_are_a_seek(load):
  _, inputs = set_up(load(**{"data.unique_images": 48}), ONE)
  indices = [batch["index"] for batch in itertools.islice(inputs.train_batches(0), 6)]
  flat = np.concatenate(indices)
  assert [sorted(flat[i : i + 48]) for i in (0, 48, 96, 144)] == [list(range(48))] * 4
  assert not np.array_equal(flat[:48], flat[48:96])
  np.testing.assert_array_equal(next(inputs.train_batches(4))["index"], indices[4])


def test_what_a_run_has_seen_is_recorded(load, data_dir, tmp_path):
  workdir = epath.Path(tmp_path)
  config = load(**{"data.unique_images": 48}, epochs=3.0)  # 3 steps of 32
  train(config, workdir, ONE)
  records = [r for r in read_records(workdir) if "train/loss" in r]
  counts = [(r["train/images_seen"], r["train/unique_images"]) for r in records]
  assert counts == [(32, 32), (64, 48), (96, 48)]
  result = read_result(workdir)
  assert (result.images_seen, result.unique_images) == (96, 48)
  assert json.loads((workdir / "dataset.json").read_text())["examples"] == 48
  assert size_of("digits", "", data_dir, unique_images=48) == (48, 10)
  known = dataclasses.asdict(result)
  del known["images_seen"], known["unique_images"]  # as earlier versions wrote it
  (workdir / "result.json").write_text(json.dumps(known))
  assert read_result(workdir).images_seen is None
