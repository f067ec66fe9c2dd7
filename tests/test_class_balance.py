"""Rare classes: weighed in the loss, or shown more often, the same on every topology."""

import itertools
import pickle

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hornet_jax.cli import config as config_flag
from hornet_jax.data.class_balance import (
  ClassBalance,
  class_weights,
  describe,
  effective_number,
  read_labels,
)
from hornet_jax.data.datasets import Split, open_split
from hornet_jax.data.pipeline import train_batches
from hornet_jax.data.schema import Field
from hornet_jax.data.views.eval_view import EvalView
from hornet_jax.errors import InputError
from hornet_jax.tasks import Classification
from hornet_jax.train.set_up import set_up

COUNTS = np.array([100, 1, 0, 10])
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(4), COUNTS))
SCHEMA = {"image": Field((), np.int32), "label": Field((), np.int32)}


def load(example, rng):
  return {"image": np.int32(example["index"]), "label": np.int32(example["label"])}


def batches(balance, **options):
  source = [{"label": int(label)} for label in LABELS]
  stream = train_batches(
    Split("made/train", source, []), load, SCHEMA, batch_size=37, seed=5, balance=balance, **options
  )
  return np.stack([batch["image"] for batch in itertools.islice(stream, 9)])  # three passes


def test_weights_worked_out_by_hand():
  assert class_weights(COUNTS, "none") == (1, 1, 1, 1)
  inverse = np.array(class_weights(COUNTS, "inverse"))
  np.testing.assert_allclose(inverse, [111 / 300, 111 / 3, 1, 111 / 30], rtol=1e-5)
  assert (inverse * COUNTS).sum() == pytest.approx(111)
  np.testing.assert_allclose(effective_number(np.array([1, 2, 10**6])), [1, 1.999, 1000])
  effective = np.array(class_weights(COUNTS, "effective"))
  assert (effective * COUNTS).sum() == pytest.approx(111, rel=1e-5)
  np.testing.assert_allclose(effective[1] / effective[3], effective_number(COUNTS)[3], rtol=1e-5)
  with pytest.raises(InputError, match="did you mean 'inverse'"):
    class_weights(COUNTS, "invers")


def test_shares_of_a_pass():
  for strength in (0.0, 0.3, 0.5, 1.0):
    shares = ClassBalance(LABELS, strength).shares(4)
    assert shares.sum() == 111
    raw = np.where(COUNTS > 0, np.maximum(COUNTS, 1.0) ** (1 - strength), 0)
    assert np.abs(shares - 111 * raw / raw.sum()).max() < 1
  assert ClassBalance(LABELS, 0.0).shares(4).tolist() == COUNTS.tolist()
  assert ClassBalance(LABELS, 1.0).shares(4).tolist() == [37, 37, 0, 37]


def test_a_pass_has_its_shares_and_every_image_comes_in_time():
  seen = batches(ClassBalance(LABELS, 1.0)).reshape(3, 111)
  for of_pass in seen:
    assert np.bincount(LABELS[of_pass], minlength=4).tolist() == [37, 37, 0, 37]
    rare = np.bincount(of_pass, minlength=111)[LABELS == 3]
    assert set(rare) <= {3, 4}  # each of the ten, and no one twice more
    assert np.bincount(of_pass, minlength=111)[LABELS == 0].max() == 1
  assert not np.array_equal(seen[0], seen[1])
  assert len(np.unique(seen[LABELS[seen] == 0])) > 60  # other ones of the frequent class


def test_the_order_depends_on_the_seed_and_the_position_alone():
  balance = ClassBalance(LABELS, 0.5)
  whole = batches(balance)
  np.testing.assert_array_equal(batches(pickle.loads(pickle.dumps(balance)), num_threads=1), whole)
  np.testing.assert_array_equal(batches(balance, rows=[3, 30]), whole[:, [3, 30]])
  np.testing.assert_array_equal(batches(balance, start_step=4)[:5], whole[4:])


def test_an_image_is_weighed_by_its_classes_and_smoothing_is_not():
  """Smoothed, a frequent class would lose to a rare one: 0.025 times 29 exceeds 0.9 times 0.3."""
  logits = jnp.array([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]])
  shares = jnp.array([[0.0, 1.0, 0.0], [0.25, 0.75, 0.0]])
  targets = optax.smooth_labels(shares, 0.1)
  plain = optax.softmax_cross_entropy(logits, targets)
  for weights, factors in (((), [1, 1]), ((0.5, 4.0, 90.0), [4.0, 3.125])):
    task = Classification(3, EvalView(8, 1.0), label_smoothing=0.1, class_weights=weights)
    got = task.loss((logits, {}), {"target": targets})
    np.testing.assert_allclose(got, plain * jnp.array(factors), rtol=1e-5)


def test_labels_are_kept_beside_the_files(data_dir, monkeypatch):
  split = open_split("digits", "train[:50%]", data_dir)
  labels = read_labels(split)
  assert labels.tolist() == [int(split.source[i]["label"]) for i in range(len(split.source))]
  # Another part of the same length has labels of its own.
  first, last = (open_split("digits", name, data_dir) for name in ("train[:99]", "train[99:198]"))
  assert read_labels(first).tolist() == [int(first.source[i]["label"]) for i in range(99)]
  assert read_labels(last).tolist() == [int(last.source[i]["label"]) for i in range(99)]
  monkeypatch.setattr(type(split.source), "__getitem__", None)
  np.testing.assert_array_equal(read_labels(split), labels)


def test_a_table_of_many_classes_shows_the_rarest():
  labels = np.repeat(np.arange(30), np.arange(30, 0, -1))
  text = describe([f"class {k}" for k in range(30)], labels, 1.0, ())
  assert "class 29" in text
  assert "class 0 " not in text
  assert text.endswith("and 10 larger classes")


def test_a_config_says_so(data_dir):
  overrides = [
    f"--config.data.data_dir={data_dir}",
    "--config.data.class_balance=0.5",
    "--config.loss.class_weighting=effective",
  ]
  config = config_flag.load("configs/digits.py:variant=nano_7x7", overrides)
  trainer, inputs = set_up(config)
  weights = trainer.config["loss"]["class_weights"]
  assert len(weights) == 10
  shares = ClassBalance(read_labels(inputs.splits.train), 0.5).shares(10)
  assert weights == class_weights(shares, "effective")
  assert trainer.task.class_weights == weights
  assert set_up(trainer.config)[0].config == trainer.config  # as evaluation reads it
  seen = np.concatenate([b["label"] for b in itertools.islice(inputs.train_batches(0), 11)])
  labels = read_labels(inputs.splits.train)
  expected = ClassBalance(labels, 0.5).order(config["seed"], 0)[: len(seen)]
  np.testing.assert_array_equal(seen, labels[expected])
  again, _ = set_up({**config, "loss": {**config["loss"], "class_weights": (1.0,) * 10,
                                        "class_weighting": "none"}})  # fmt: skip
  assert again.task.class_weights == (1.0,) * 10
  with pytest.raises(InputError, match="expected 10 numbers >= 0, got 9"):
    set_up({**config, "loss": {**config["loss"], "class_weights": (1.0,) * 9}})
