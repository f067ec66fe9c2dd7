"""What a config leaves to the dataset gets values that train, and keeps them on resume."""

import json
import re

import pytest
from etils import epath

from hornet_jax.cli import config as config_flag
from hornet_jax.config.check import check_config
from hornet_jax.config.fit import fit, to_fit
from hornet_jax.config.flat import flatten
from hornet_jax.config.key import FIT, FIT_TEXT
from hornet_jax.config.schema import SCHEMA
from hornet_jax.data.views.mix import MixSettings, check_mixing
from hornet_jax.errors import InputError
from hornet_jax.parallel.mesh import make_mesh
from hornet_jax.runs.workdir import with_fitted_settings
from hornet_jax.train.set_up import set_up
from hornet_jax.train.trainer import Trainer
from hornet_jax.wording import counted

SMALL = [
  "--config.data.dataset=digits",
  "--config.model.variant=hornet_nano_7x7",
  "--config.model.patch_size=2",
  "--config.data.image_size=16",
]


@pytest.fixture
def config():
  return config_flag.load("finetune", [])


@pytest.mark.parametrize("init", ["", "run"])
@pytest.mark.parametrize("num_examples", [1, 3, 10, 34, 127, 1000, 50_000, 1_281_167])
def test_values_train_on_any_number_of_images(config, num_examples, init):
  config["init"]["checkpoint"] = init
  fitted, said = fit(config, num_examples)
  values = flatten(fitted)
  assert not to_fit(fitted)
  check_config(fitted)
  batch_size, epochs = values["data.batch_size"], values["epochs"]
  assert 1 <= batch_size <= min(num_examples, 32)
  steps = int(epochs * (num_examples // batch_size))
  assert steps >= 30
  assert steps / values["log.every_steps"] >= 20  # points of a curve
  assert 10 <= epochs / values["eval.every_epochs"] <= 20
  assert values["optimizer.layer_decay"] == (0.7 if init else 1)
  images = counted(num_examples, "image")
  assert said.startswith(f"fitted to {images}: epochs {epochs:g}, data.batch_size")
  # Nothing is left to fit: neither values nor words change.
  assert fit(fitted, 7) == (fitted, "")


def test_values_that_are_given_stay(config):
  given = config_flag.load("finetune", ["--config.data.batch_size=6", "--config.epochs=2"])
  fitted, said = fit(given, 100)
  assert (fitted["data"]["batch_size"], fitted["epochs"]) == (6, 2.0)
  assert fitted["optimizer"]["warmup_epochs"] == pytest.approx(0.2)
  assert ", data.batch_size" not in said


def test_only_keys_that_can_be_fitted(config):
  for name, key in SCHEMA.items():
    if key.fits:
      to_fit = {tuple: (), str: FIT_TEXT}.get(type(key.default), FIT)
      key.check(name, to_fit)
      assert key.is_to_fit(to_fit)
      assert not key.is_to_fit(key.default)
    elif key.range is not None and not isinstance(key.default, tuple):
      with pytest.raises(InputError):
        key.check(name, type(key.default)(FIT))


def test_a_run_keeps_what_it_found(config, tmp_path):
  """Also where the total length is changed, on which other values depend."""
  fitted, _ = fit(config, 100)
  (tmp_path / "config.json").write_text(json.dumps(fitted))
  config["epochs"] = 80.0
  again = with_fitted_settings(config, epath.Path(tmp_path))
  expected = flatten(fitted) | {"epochs": 80.0}
  assert flatten(again) == expected


def test_evaluation_batches_are_no_larger_than_the_split(data_dir):
  config = config_flag.load(
    "finetune", [*SMALL, f"--config.data.data_dir={data_dir}", "--config.data.eval_batch_size=4096"]
  )
  trainer, inputs = set_up(config)  # eight devices, 360 images
  assert inputs.eval_batch_size == 360
  assert trainer.config["data"]["batch_size"] == 32
  trainer.check_batch()


def test_hints_lead_to_a_run():
  """What a refusal proposes is not refused."""

  def trainer(*overrides):
    config = config_flag.load("digits", [*SMALL, *overrides])
    return Trainer(config, make_mesh(None, 1), num_classes=3, num_examples=38)

  short = ["--config.data.batch_size=16", "--config.optimizer.warmup_epochs=0"]
  with pytest.raises(InputError, match="must give a step") as refusal:
    trainer(*short, "--config.epochs=0.3")
  hint = re.search(r"(--config\.epochs=[\d.]+) or more", str(refusal.value))[1]
  assert trainer(*short, hint).total_steps == 1
  with pytest.raises(InputError, match="must give a step") as refusal:
    trainer("--config.data.batch_size=64")
  hint = re.search(r"(--config\.data\.batch_size=\d+) or less", str(refusal.value))[1]
  assert trainer(hint).total_steps == 32

  for group, rows, devices in ((128, 32, 8), (6, 32, 8), (128, 24, 2)):
    settings = MixSettings(0.8, 1.0, 1.0, 0.5, group)
    with pytest.raises(InputError) as refusal:
      check_mixing(settings, rows, devices)
    near = int(re.search(r"--config\.mix\.group_size=(\d+)", str(refusal.value))[1])
    check_mixing(MixSettings(0.8, 1.0, 1.0, 0.5, near), rows, devices)
  with pytest.raises(InputError, match=r"--config\.mix\.rate=0\.0 mixes nothing"):
    check_mixing(MixSettings(0.8, 1.0, 1.0, 0.5, 2), 8, 8)
