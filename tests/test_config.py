"""A config has the keys of the schema, whoever wrote it, whenever and wherever."""

import json
import pathlib
from typing import get_args

import pytest

from hornet_jax.cli import config as config_flag
from hornet_jax.cli.main import main
from hornet_jax.config import base_config
from hornet_jax.config.check import check_config
from hornet_jax.config.files import shipped_configs
from hornet_jax.config.flat import flatten, nest
from hornet_jax.config.schema import SCHEMA, VERSION
from hornet_jax.config.upgrade import upgrade, upgrade_section
from hornet_jax.data.pixels.imaging import IMAGING
from hornet_jax.data.views.augment import Crop
from hornet_jax.errors import InputError
from hornet_jax.models import VARIANTS
from hornet_jax.models.execution import REMAT, GradientSum
from hornet_jax.ops.fourier import check_fourier

OLD = sorted((pathlib.Path(__file__).parent / "golden" / "configs").glob("*.json"))
old_configs = pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)


def digits(*overrides):
  return flatten(config_flag.load("digits", overrides))


def test_the_base_config_is_allowed():
  check_config(base_config().to_dict())


@pytest.mark.parametrize("name", SCHEMA)
def test_a_key_is_described_and_bounded(name):
  key = SCHEMA[name]
  assert key.description[0].isupper()
  assert key.description.endswith(".")
  is_number = isinstance(key.default, int | float) and not isinstance(key.default, bool)
  assert name == "version" or is_number <= (key.range is not None)
  if key.choices:
    assert key.default in key.choices


def test_choices_are_those_of_the_code():
  for mode in SCHEMA["model.global_filter"].choices:
    check_fourier(mode)
  assert SCHEMA["model.remat"].choices == REMAT
  assert SCHEMA["model.gradient_sum"].choices == get_args(GradientSum)
  assert SCHEMA["data.crop"].choices == get_args(Crop)
  assert SCHEMA["data.imaging"].choices == tuple(IMAGING)


@pytest.mark.parametrize(
  ("name", "value", "message"),
  [
    ("seed", 1.5, "`seed` must be of type int: got 1.5"),
    ("seed", True, "`seed` must be of type int"),
    ("model.scan", 1, "`model.scan` must be of type bool"),
    ("data.mean", [0.5, "x", 0.5], "`data.mean` must be of type tuple"),
    (
      "data.mean",
      [0.5, 0.5],
      "`data.mean` must have as many numbers as `data.channels` says",
    ),
    (
      "data.mean",
      [123.675, 116.28, 103.53],  # of pixels in [0, 255]
      r"`data.mean` must be data.channels numbers >= 0 and <= 1, or \(\) to suit the dataset: got",
    ),
    (
      "data.std",
      [0.5, 0.0, 0.5],
      r"data.channels numbers > 0, or \(\) to suit the dataset: got",
    ),
    ("data.crop_scale", [0.5, 0.2], "a smallest and a largest value"),
    ("optimizer.b1", 1.0, "`optimizer.b1` must be >= 0 and < 1: got 1.0"),
    ("optimizer.eps", float("nan"), "`optimizer.eps` must be > 0: got nan"),
    ("optimizer.lr", 1.0, "unknown config key 'optimizer.lr'"),
    ("version", VERSION + 1, "`version` must not be set"),
  ],
)
def test_what_is_not_allowed_is_named(name, value, message):
  config = nest({**flatten(base_config().to_dict()), name: value})
  with pytest.raises(InputError, match=message):
    check_config(config)


def test_a_missing_key_is_named():
  config = base_config().to_dict()
  del config["mix"]["rate"]
  with pytest.raises(InputError, match=r"missing mix\.rate"):
    check_config(config)


@old_configs
def test_configs_of_before_describe_the_same_run(path):
  old = json.loads(path.read_text())
  config = upgrade(old)
  check_config(config)
  assert upgrade(config) == config
  said, new = flatten(old), flatten(config)
  kept = said.keys() & SCHEMA.keys() - {"version", "model.remat"}
  assert {name: new[name] for name in kept} == {name: said[name] for name in kept}
  if "mix.rate" not in said:
    assert new["mix.rate"] == new["data.erasing_rate"] == 0
  if "data.flip_rate" not in said:
    assert (new["data.flip_rate"], new["data.crop"]) == (0, "padded")
  if "model.scan" not in said:
    assert new["model.scan"] is False


def test_a_run_of_the_last_version_goes_on_unchanged():
  assert flatten(upgrade(json.loads(OLD[-1].read_text()))) == digits()


def test_names_of_before_are_understood():
  for old, new in ((True, "full"), (False, "none"), ("dots", "dots")):
    assert upgrade_section("model", {"remat": old})["remat"] == new
  data = upgrade_section("data", {"image_size": 32}, ["image_size", "eval_warp", "mean"])
  assert data == {"image_size": 32, "eval_warp": False}  # a mean was always there


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"version": VERSION + 1}, f"expected at most {VERSION}, got {VERSION + 1}.*Hint: install"),
    ({"version": "1"}, "`version` must be one that this hornet_jax knows"),
    ({"model.sacn": True}, "unknown config key 'model.sacn'.*mean 'model.scan'"),
  ],
)
def test_configs_that_nobody_knows_are_refused(change, message):
  with pytest.raises(InputError, match=message):
    upgrade(nest(flatten(base_config().to_dict()) | change))


OWN = """
from hornet_jax.config import {names}

def get_config(arg=""):
  config = {start}
  {change}
  return config
"""


def own_config(folder, change="config.seed = 3", names="base_config", start="base_config()"):
  (folder / "mine.py").write_text(OWN.format(names=names, start=start, change=change))
  return folder / "mine.py"


def test_a_config_of_ones_own_works_from_any_folder(tmp_path, monkeypatch):
  own_config(tmp_path, names="load_file", start="load_file('digits:variant=micro_gf')")
  monkeypatch.chdir(tmp_path)
  config = config_flag.load("mine.py", ["--config.epochs=2"])
  assert (config["seed"], config["epochs"]) == (3, 2.0)
  assert config["model"]["variant"] == "hornet_micro_gf"


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ("config.optimizer.lr = 1.0", "lr"),
    ("config.seed = 'one'", "seed|int"),
    ("config.seed ==", "invalid syntax"),
    ("config = 3", "`get_config` must return a ConfigDict, got 3"),
  ],
)
def test_a_config_of_ones_own_that_fails_is_one_line(change, message, tmp_path):
  with pytest.raises(InputError, match=message) as raised:
    config_flag.load(str(own_config(tmp_path, change)), [])
  assert "\n" not in str(raised.value)


def test_shipped_configs_go_by_name_and_by_path(monkeypatch, tmp_path, capfd):
  by_path = config_flag.load("configs/digits.py:variant=micro_gf", [])
  monkeypatch.chdir(tmp_path)
  assert config_flag.load("digits:variant=micro_gf", []) == by_path
  assert main(["configs"]) == 0
  listed = capfd.readouterr().out.splitlines()
  assert [line.split()[0] for line in listed] == list(shipped_configs())
  assert "digits               HorNet on scikit-learn's handwritten digits" in listed[3]


def test_every_key_can_be_looked_up(capfd):
  with pytest.raises(SystemExit) as ended:
    main(["train", "--help_config"])
  assert ended.value.code == 0
  lines = capfd.readouterr().out.splitlines()
  keys = [line for line in lines if line.startswith("--")]
  assert [line.removeprefix("--config.").partition("=")[0] for line in keys] == list(SCHEMA)
  assert "--config.epochs=300.0  (> 0, or -1 to suit the dataset; may change on resume)" in keys
  assert max(map(len, lines)) <= 100


def test_variants_of_other_families_go_by_their_names(monkeypatch):
  monkeypatch.setitem(VARIANTS, "mixer_nano", VARIANTS["hornet_nano_7x7"])
  for config in ("digits", "fashion_mnist", "finetune"):
    for given, expected in (("nano_gf", "hornet_nano_gf"), ("mixer_nano", "mixer_nano")):
      settings = config_flag.load(f"{config}:variant={given}", [])
      assert settings["model"]["variant"] == expected
