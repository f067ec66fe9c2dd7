"""The configs of ImageNet, ADE20K and COCO are the official runs, but for what is said."""

import json
import re

import pytest

from hornet_jax.cli import config as config_flag
from hornet_jax.cli.main import main
from hornet_jax.config.build import build_model
from hornet_jax.config.check import check_config
from hornet_jax.config.length import count_steps
from hornet_jax.config.official_recipes import RECIPES, find_recipe
from hornet_jax.config.recipe import compare
from hornet_jax.config.schema import SCHEMA, keys_read
from hornet_jax.errors import InputError
from hornet_jax.tasks.build import build_task

NAMES = {
  ("imagenet2012", 224): "imagenet1k",
  ("imagenet22k", 224): "imagenet22k",
  ("imagenet2012", 384): "imagenet1k_finetune",
  ("ade20k", 512): "ade20k",
  ("ade20k", 640): "ade20k",
  ("coco", None): "coco",
}
IN_ONE_PART = {"optimizer.accumulation_steps", "optimizer.clip_each_micro_step"}
# The seed and the averaged weights, which runs of segmentation and detection have not.
NOT_OF_DENSE = {"seed", "ema.reference_steps"}
OF_DETECTION = {
  "data.empty_images",
  *("optimizer.schedule", "optimizer.step_epochs"),
  *("optimizer.layer_decay_by", "optimizer.assumed_layers"),
  *(name for name in SCHEMA if name.startswith("detection.")),
} - {f"detection.{name}" for name in ("canvases", "max_objects", "mask_side", "drawn_score")}
OF_SEGMENTATION = {
  *("optimizer.schedule", "optimizer.poly_power"),
  *("optimizer.layer_decay_by", "optimizer.stage_decay_layers"),
  *(name for name in SCHEMA if name.startswith("segmentation.")),
}


USUAL = (None, "conv", "cascade")


def name_of(recipe):
  keys = ("segmentation.fusion", "detection.kind", "detection.neck")
  told = [recipe.settings.get(key) for key in keys]
  return "-".join([recipe.variant, recipe.dataset, *(name for name in told if name not in USUAL)])


recipes = pytest.mark.parametrize("recipe", RECIPES, ids=name_of)


def config_of(recipe, arg=""):
  name = NAMES[recipe.dataset, recipe.settings.get("data.image_size")]
  variant = recipe.variant.removeprefix("hornet_").removesuffix("_img384")
  if name == "ade20k":
    arg = f",fusion={recipe.settings['segmentation.fusion']}{arg}"
  if name == "coco":
    kind, neck = (recipe.settings[f"detection.{key}"] for key in ("kind", "neck"))
    arg = f",kind={kind},neck={neck}{arg}"
  return config_flag.load(f"{name}:variant={variant}{arg}", [])


@recipes
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
  assert small["data"]["batch_size"] == (8 if recipe.dataset == "coco" else 32)
  if recipe.dataset in ("ade20k", "coco"):  # there is no classifier of it to start from
    assert small["optimizer"]["layer_decay"] == 1.0


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


def test_the_base_model_of_deit_has_the_recipe_of_the_small_one():
  names = ("deit_small", "vit_base")
  small, base = (config_flag.load(f"imagenet1k:variant={name}", []) for name in names)
  check_config(base)
  assert base["model"] == small["model"] | {"variant": "vit_base"}
  assert {k: v for k, v in base.items() if k != "model"} == {
    k: v for k, v in small.items() if k != "model"
  }
  with pytest.raises(InputError, match="`runlocal` needs a small model of the family"):
    config_flag.load("imagenet1k:variant=vit_base,runlocal", [])


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


@recipes
def test_every_key_is_compared_or_said_not_to_be(recipe):
  task = {"ade20k": "segmentation", "coco": "detection"}.get(recipe.dataset, "classification")
  recorded = {name for name, key in keys_read(task).items() if key.official}
  if recipe.dataset == "ade20k":
    recorded = recorded - NOT_OF_DENSE | OF_SEGMENTATION
  if recipe.dataset == "coco":
    recorded = recorded - NOT_OF_DENSE | OF_DETECTION
  assert recipe.settings.keys() == recorded


def test_the_runs_on_ade20k_are_the_published_ones():
  """Held against the official configs by hand, as the table of recipes could repeat a slip."""
  found = {name_of(recipe): recipe for recipe in RECIPES if recipe.dataset == "ade20k"}
  keys = ("model.drop_path_rate", "optimizer.clip_norm", "optimizer.layer_decay")
  keys += ("optimizer.stage_decay_layers", "data.image_size", "segmentation.long_side")
  assert {name: tuple(recipe.settings[key] for key in keys) for name, recipe in found.items()} == {
    "hornet_tiny_7x7-ade20k": (0.4, 0.0, 0.9, 6, 512, 2048),
    "hornet_tiny_gf-ade20k": (0.4, 1.0, 0.9, 6, 512, 2048),
    "hornet_small_7x7-ade20k": (0.3, 0.0, 0.9, 12, 512, 2048),
    "hornet_small_gf-ade20k": (0.3, 1.0, 0.9, 12, 512, 2048),
    "hornet_base_7x7-ade20k": (0.4, 0.0, 0.9, 12, 512, 2048),
    "hornet_base_gf-ade20k": (0.5, 1.0, 0.9, 12, 512, 2048),
    "hornet_large_7x7-ade20k": (0.4, 0.0, 0.8, 12, 640, 2560),
    "hornet_large_gf-ade20k": (0.4, 0.1, 0.8, 12, 640, 2560),
    "hornet_small_7x7-ade20k-7x7": (0.3, 0.0, 0.9, 12, 512, 2048),
    "hornet_small_7x7-ade20k-gf": (0.3, 0.1, 0.9, 12, 512, 2048),
  }


def test_the_runs_on_coco_are_the_published_ones():
  """Held against the official configs by hand, likewise."""
  found = {name_of(recipe): recipe for recipe in RECIPES if recipe.dataset == "coco"}
  keys = ("model.drop_path_rate", "optimizer.learning_rate", "optimizer.layer_decay")
  keys += ("optimizer.assumed_layers", "epochs", "optimizer.step_epochs")
  assert {name: tuple(recipe.settings[key] for key in keys) for name, recipe in found.items()} == {
    "hornet_tiny_7x7-coco": (0.4, 2e-4, 0.7, 0, 36.0, [27.0, 33.0]),
    "hornet_tiny_gf-coco": (0.4, 2e-4, 0.7, 0, 36.0, [27.0, 33.0]),
    "hornet_small_7x7-coco": (0.6, 2e-4, 0.7, 0, 36.0, [27.0, 33.0]),
    "hornet_small_gf-coco": (0.6, 2e-4, 0.7, 0, 36.0, [27.0, 33.0]),
    "hornet_base_7x7-coco": (0.7, 2e-4, 0.8, 0, 36.0, [27.0, 33.0]),
    "hornet_base_gf-coco": (0.7, 2e-4, 0.8, 0, 36.0, [27.0, 33.0]),
    "hornet_large_7x7-coco": (0.7, 1e-4, 0.7, 0, 36.0, [27.0, 33.0]),
    "hornet_large_gf-coco": (0.7, 1e-4, 0.7, 0, 36.0, [27.0, 33.0]),
    "hornet_small_7x7-coco-mask_rcnn": (0.6, 1e-4, 0.95, 6, 12.0, [8.0, 11.0]),
    "hornet_small_7x7-coco-mask_rcnn-7x7": (0.6, 1e-4, 0.95, 6, 12.0, [8.0, 11.0]),
    "hornet_small_7x7-coco-mask_rcnn-gf": (0.6, 1e-4, 0.95, 6, 12.0, [8.0, 11.0]),
  }
  filters = {
    name: recipe.settings["model.fields"]
    for name, recipe in found.items()
    if recipe.settings["model.fields"]
  }
  assert list(filters) == ["hornet_large_gf-coco"]  # the other global filters keep their grids


def test_iterations_are_counted_in_epochs():
  config = config_flag.load("ade20k", [])
  steps_per_epoch = 20_210 // config["data"]["batch_size"]
  assert count_steps(config["epochs"], steps_per_epoch) == 160_000
  assert round(config["optimizer"]["warmup_epochs"] * steps_per_epoch) == 1500
  assert round(config["eval"]["every_epochs"] * steps_per_epoch) == 16_000


def test_the_warm_up_of_detection_is_counted_in_epochs():
  config = config_flag.load("coco", [])
  steps_per_epoch = 117_266 // config["data"]["batch_size"]
  assert round(config["optimizer"]["warmup_epochs"] * steps_per_epoch) == 500


def test_detection_takes_other_backbones_and_necks(capfd):
  """Where there is no official run, the nearest one says what differs, or none does."""
  config = config_flag.load("coco:variant=swin_tiny", [])
  check_config(config)
  assert find_recipe(config) is None
  assert config["optimizer"] == config_flag.load("coco:variant=small_7x7", [])["optimizer"]
  build_task(config_flag.load("coco:variant=convnext_tiny,neck=gf", []), 80)
  assert main(["info", "--config=coco:variant=base_gf,neck=7x7"]) == 0
  printed = capfd.readouterr().out
  marked = {line.split()[0] for line in printed.splitlines() if "  deviates  " in line}
  assert marked == {"init.checkpoint", "detection.neck"}
  assert "official: hornet_base_gf on coco. In every run of ours:\n- an image lies" in printed
  assert re.search(r"^steps +263,844$", printed, re.M)
  assert re.search(r"^steps of warm-up +500$", printed, re.M)
  with pytest.raises(InputError, match="unknown kind 'retina'"):
    config_flag.load("coco:kind=retina", [])


def test_segmentation_takes_other_backbones_and_fusions(capfd):
  """Where there is no official run, the nearest one says what differs, or none does."""
  for variant in ("convnext_tiny", "swin_tiny", "ladder_g2345"):
    config = config_flag.load(f"ade20k:variant={variant}", [])
    check_config(config)
    assert find_recipe(config) is None
    assert config["optimizer"] == config_flag.load("ade20k:variant=small_7x7", [])["optimizer"]
  build_task(config_flag.load("ade20k:variant=convnext_tiny,fusion=gf", []), 150)
  assert main(["info", "--config=ade20k:variant=base_7x7,fusion=7x7"]) == 0
  lines = capfd.readouterr().out.splitlines()
  marked = {line.split()[0] for line in lines if "  deviates  " in line}
  assert marked == {"init.checkpoint", "segmentation.fusion"}
  assert "official: hornet_base_7x7 on ade20k. In every run of ours:" in lines


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
  assert {row["key"] for row in compared} == keys_read("classification").keys()
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
