"""The ImageNet configs are the official runs, but for what is said."""

import json

import pytest

from hornet_jax.cli import config as config_flag
from hornet_jax.cli.main import main
from hornet_jax.errors import InputError
from hornet_jax.train.recipes import NOT_RECORDED, RECIPES, compare, find_recipe
from hornet_jax.train.settings import check_ranges
from hornet_jax.train.workdir import flatten

FILES = {
  ("imagenet2012", 224): "imagenet1k.py",
  ("imagenet22k", 224): "imagenet22k.py",
  ("imagenet2012", 384): "imagenet1k_finetune.py",
}
IN_ONE_PART = {"optimizer.accumulation_steps", "optimizer.clip_each_micro_step"}


def config_of(recipe, arg=""):
  file = FILES[recipe.dataset, recipe.settings["data.image_size"]]
  variant = recipe.variant.removeprefix("hornet_").removesuffix("_img384")
  return config_flag.load(f"configs/{file}:variant={variant}{arg}", [])


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: f"{recipe.variant}-{recipe.dataset}")
def test_every_official_run_has_its_config(recipe):
  config = config_of(recipe)
  check_ranges(config)
  assert find_recipe(config) is recipe
  differing = {key for key, _, _, equal in compare(config, recipe) if not equal}
  allowed = IN_ONE_PART if recipe.settings["optimizer.accumulation_steps"] == 2 else set()
  if recipe.settings["init.checkpoint"]:
    allowed = allowed | {"init.checkpoint"}  # for the person who runs it to name
  assert differing == allowed
  small = config_of(recipe, ",runlocal")
  check_ranges(small)
  assert small["model"]["variant"] == f"hornet_micro_{'gf' if '_gf' in recipe.variant else '7x7'}"
  assert small["data"]["batch_size"] == 32


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: f"{recipe.variant}-{recipe.dataset}")
def test_every_key_is_compared_or_said_not_to_be(recipe):
  keys = set(flatten(config_of(recipe)))
  unrecorded = {key for key in keys - recipe.settings.keys() if not key.startswith(NOT_RECORDED)}
  assert unrecorded == set()
  assert not {key for key in recipe.settings if key.startswith(NOT_RECORDED)}


def test_the_command_marks_deviations(capfd):
  arguments = ["info", "--config=configs/imagenet1k.py:variant=tiny_gf"]
  assert main(arguments) == 0
  printed = capfd.readouterr().out
  assert "deviates" not in printed
  assert "In every run:\n- gradients are clipped" in printed
  assert main([*arguments, "--config.optimizer.clip_norm=5"]) == 0
  marked = [line.split() for line in capfd.readouterr().out.splitlines() if "deviates" in line]
  assert marked == [["optimizer.clip_norm", "5.0", "1.0", "deviates"]]
  assert main([*arguments, "--config.model.patch_size=2", "--json"]) == 0
  compared = json.loads(capfd.readouterr().out)
  assert [row["key"] for row in compared if not row["equal"]] == ["model.patch_size"]
  fine_tuning = "--config=configs/imagenet1k_finetune.py:variant=large_gf,image_size=224"
  assert main(["info", fine_tuning]) == 0
  lines = capfd.readouterr().out.splitlines()
  marked = {line.split()[0] for line in lines if line.endswith("deviates")}
  assert marked == {"model.variant", "data.image_size", "data.eval_warp", "init.checkpoint"}


def test_other_runs_have_no_record(capfd):
  with pytest.raises(InputError, match=r"no official run of 'hornet_micro_7x7' on 'digits'"):
    find_recipe(config_flag.load("configs/digits.py", []))
  assert main(["info", "hornet_tiny_7x7", "--nonsense"]) == 2
  assert main(["info", "hornet_tiny_7x7", "--config=configs/imagenet1k.py"]) == 2
  assert main(["info", "--config=configs/imagenet1k.py:variant=huge"]) == 2
  assert "expected one of tiny_7x7" in capfd.readouterr().err
