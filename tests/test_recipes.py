"""The ImageNet configs are the official runs, but for what is said."""

import pytest

from hornet_jax.cli import config as config_flag
from hornet_jax.cli.main import main
from hornet_jax.errors import InputError
from hornet_jax.train.recipes import RECIPES, compare, find_recipe
from hornet_jax.train.settings import check_ranges

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
  assert differing == allowed
  small = config_of(recipe, ",runlocal")
  check_ranges(small)
  assert small["model"]["variant"] == f"hornet_micro_{'gf' if '_gf' in recipe.variant else '7x7'}"
  assert small["data"]["batch_size"] == 32


def test_the_command_marks_deviations(capfd):
  arguments = ["info", "--config=configs/imagenet1k.py:variant=tiny_gf"]
  assert main(arguments) == 0
  printed = capfd.readouterr().out
  assert "deviates" not in printed
  assert "In every run:\n- gradients are clipped" in printed
  assert main([*arguments, "--config.optimizer.clip_norm=5"]) == 0
  marked = [line.split() for line in capfd.readouterr().out.splitlines() if "deviates" in line]
  assert marked == [["optimizer.clip_norm", "5.0", "1.0", "deviates"]]


def test_other_runs_have_no_record(capfd):
  with pytest.raises(InputError, match=r"no official run of 'hornet_micro_7x7' on 'digits'"):
    find_recipe(config_flag.load("configs/digits.py", []))
  assert main(["info", "hornet_tiny_7x7", "--nonsense"]) == 2
  assert main(["info", "--config=configs/imagenet1k.py:variant=huge"]) == 2
  assert "expected one of tiny_7x7" in capfd.readouterr().err
