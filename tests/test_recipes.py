"""The ImageNet configs are the official runs, but for what is said."""

import json
import re

import pytest

from hornet_jax.cli import config as config_flag
from hornet_jax.cli.main import main
from hornet_jax.config.build import build_model
from hornet_jax.config.check import check_config
from hornet_jax.config.official_recipes import RECIPES, compare, find_recipe
from hornet_jax.config.schema import SCHEMA

NAMES = {
  ("imagenet2012", 224): "imagenet1k",
  ("imagenet22k", 224): "imagenet22k",
  ("imagenet2012", 384): "imagenet1k_finetune",
}
IN_ONE_PART = {"optimizer.accumulation_steps", "optimizer.clip_each_micro_step"}


def config_of(recipe, arg=""):
  name = NAMES[recipe.dataset, recipe.settings["data.image_size"]]
  variant = recipe.variant.removeprefix("hornet_").removesuffix("_img384")
  return config_flag.load(f"{name}:variant={variant}{arg}", [])


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: f"{recipe.variant}-{recipe.dataset}")
def test_every_official_run_has_its_config(recipe):
  config = config_of(recipe)
  check_config(config)
  assert find_recipe(config) is recipe
  differing = {key for key, _, _, equal in compare(config, recipe) if not equal}
  allowed = IN_ONE_PART if recipe.settings["optimizer.accumulation_steps"] == 2 else set()
  if recipe.settings["init.checkpoint"]:
    allowed = allowed | {"init.checkpoint"}  # for the person who runs it to name
  assert differing == allowed
  small = config_of(recipe, ",runlocal")
  check_config(small)
  assert small["model"]["variant"] == f"hornet_micro_{'gf' if '_gf' in recipe.variant else '7x7'}"
  assert small["data"]["batch_size"] == 32


@pytest.mark.parametrize(
  ("variant", "patch_size", "drop_path_rate", "clip_norm", "small"),
  [
    ("convnext_tiny", 4, 0.1, 0.0, "convnext_micro"),
    ("convnext_base", 4, 0.5, 0.0, "convnext_micro"),
    ("convnext_iso_small", 16, 0.1, 0.0, "convnext_iso_micro"),
    ("swin_small", 4, 0.3, 5.0, "swin_micro"),
    ("deit_small", 16, 0.1, 0.0, "deit_micro"),
    ("iso_small_gf", 16, 0.1, 1.0, "hornet_iso_micro_gf"),
    ("ladder_g1111", 4, 0.2, 100.0, "ladder_micro_g1111"),
  ],
)
def test_baselines_differ_by_what_their_own_runs_have(
  variant, patch_size, drop_path_rate, clip_norm, small
):
  config = config_flag.load(f"imagenet1k:variant={variant}", [])
  check_config(config)
  assert find_recipe(config) is None
  of_hornet = config_flag.load("imagenet1k:variant=tiny_7x7", [])
  own = {
    "variant": "hornet_iso_small_gf" if variant == "iso_small_gf" else variant,
    "patch_size": patch_size,
    "drop_path_rate": drop_path_rate,
  }
  assert config["model"] == of_hornet["model"] | own
  assert config["optimizer"] == of_hornet["optimizer"] | {"clip_norm": clip_norm}
  others = {"model", "optimizer"}
  assert {k: v for k, v in config.items() if k not in others} == {
    k: v for k, v in of_hornet.items() if k not in others
  }
  shrunk = config_flag.load(f"imagenet1k:variant={variant},runlocal", [])
  assert shrunk["model"]["variant"] == small
  check_config(shrunk)
  build_model(shrunk["model"], shrunk["data"], 1000)


def test_isotropic_models_keep_their_patches():
  """Other patches would be another number of tokens, and another model."""
  for config, variant, expected in (
    ("digits", "deit_micro", 4),
    ("digits", "swin_micro", 2),
    ("finetune", "deit_small", 16),
    ("finetune", "convnext_tiny", 4),
    ("finetune", "micro_gf", 4),
  ):
    found = config_flag.load(f"{config}:variant={variant}", [])["model"]["patch_size"]
    assert found == expected, (config, variant)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: f"{recipe.variant}-{recipe.dataset}")
def test_every_key_is_compared_or_said_not_to_be(recipe):
  assert recipe.settings.keys() == {name for name, key in SCHEMA.items() if key.official}


def test_the_command_marks_deviations(capfd):
  arguments = ["info", "--config=configs/imagenet1k.py:variant=tiny_gf"]
  assert main(arguments) == 0
  printed = capfd.readouterr().out
  assert "deviates" not in printed
  assert "hornet_tiny_gf on imagenet2012. In every run of ours:\n- gradients are clipped" in printed
  assert re.search(r"^steps +93,600$", printed, re.M)
  assert re.search(r"^steps of warm-up +6,240$", printed, re.M)
  assert main([*arguments, "--config.optimizer.clip_norm=5"]) == 0
  marked = [line.split() for line in capfd.readouterr().out.splitlines() if "deviates" in line]
  assert [line[:4] for line in marked] == [["optimizer.clip_norm", "5.0", "1.0", "deviates"]]
  assert main([*arguments, "--config.model.patch_size=2", "--json"]) == 0
  compared = json.loads(capfd.readouterr().out)["keys"]
  assert [row["key"] for row in compared if not row.get("equal", True)] == ["model.patch_size"]
  assert {row["key"] for row in compared} == SCHEMA.keys()
  fine_tuning = "--config=configs/imagenet1k_finetune.py:variant=large_gf,image_size=224"
  assert main(["info", fine_tuning]) == 0
  lines = capfd.readouterr().out.splitlines()
  marked = {line.split()[0] for line in lines if "  deviates  " in line}
  assert marked == {"model.variant", "data.image_size", "data.eval_warp", "init.checkpoint"}


def test_every_config_is_described(capfd, data_dir):
  """Also without an official run, and without the dataset."""
  assert find_recipe(config_flag.load("configs/digits.py", [])) is None
  data = f"--config.data.data_dir={data_dir}"
  assert main(["info", "--config=digits", data]) == 0
  printed = capfd.readouterr().out
  assert "official" not in printed.splitlines()[0]
  assert re.search(r"^steps +704$", printed, re.M)
  assert main(["info", "--config=finetune:dataset=my_absent_photos"]) == 0
  assert "steps are not known: unknown dataset 'my_absent_photos'" in capfd.readouterr().out
  assert main(["info", "--config=finetune:dataset=digits", data]) == 0
  assert re.search(r"^data.batch_size +32 ", capfd.readouterr().out, re.M)


def test_what_cannot_be_described(capfd):
  assert main(["info", "hornet_tiny_7x7", "--nonsense"]) == 2
  assert main(["info", "hornet_tiny_7x7", "--config=configs/imagenet1k.py"]) == 2
  assert main(["info", "--config=configs/imagenet1k.py:variant=huge"]) == 2
  assert "unknown variant 'huge': expected one of base_7x7" in capfd.readouterr().err
