"""The official run that a config is held against is found here."""

from collections.abc import Mapping
from typing import Any

from hornet_jax.config.official_ade20k import ADE20K_RECIPES
from hornet_jax.config.official_coco import COCO_RECIPES
from hornet_jax.config.official_imagenet import IMAGENET_RECIPES
from hornet_jax.config.recipe import Recipe, compare

RECIPES = (*IMAGENET_RECIPES, *ADE20K_RECIPES, *COCO_RECIPES)


def find_recipe(config: Mapping[str, Any]) -> Recipe | None:
  """Finds the official run of a config's model and dataset; None where there is none.

  Of several, it is the one from which the config differs in the fewest keys.

  Args:
    config: nested, with the keys of `config.schema`.
  """
  variant, dataset = config["model"]["variant"], config["data"]["dataset"].partition("/")[0]
  # The filters of 384 pixels are those of a larger grid in the same model.
  found = [
    recipe
    for recipe in RECIPES
    if recipe.variant.removesuffix("_img384") == variant.removesuffix("_img384")
    and recipe.dataset == dataset
  ]

  def differences(recipe: Recipe) -> int:
    return sum(not equal for *_, equal in compare(config, recipe))

  return min(found, key=differences, default=None)
