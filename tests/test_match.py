"""Fields of a model as text, and designs that are made equally expensive."""

import pathlib

import pytest

from hornet_jax.cli.main import main
from hornet_jax.config.build import build_model
from hornet_jax.config.flat import nest
from hornet_jax.config.model_fields import parse_fields, write_fields
from hornet_jax.errors import InputError
from hornet_jax.studies.design import Design, read_design
from hornet_jax.studies.match import match
from hornet_jax.studies.model_cost import count_model
from hornet_jax.studies.study import load_study

ROOT = pathlib.Path(__file__).parents[1]
SETTINGS = {"variant": "hornet_nano_7x7", "dtype": "float32", "patch_size": 2}
IMAGES = {"image_size": 16, "channels": 3}


def test_fields_are_python_keywords():
  fields = {"base_dim": 24, "depths": (1, 3), "filters": ("3x3", (8, 5)), "layer_scale_init": None}
  assert parse_fields(write_fields(fields)) == fields
  assert parse_fields("") == {}
  for text in (
    "base_dim",
    "(1, 2)",
    "a=1, a=2",
    "**{}",
    "a=print(1)",
    "a=1)",
    "a=",
    "__import__=x",
  ):
    with pytest.raises(InputError, match=r"`model\.fields` must be keywords with plain values"):
      parse_fields(text)


def test_a_config_sets_them():
  model = build_model({**SETTINGS, "fields": "base_dim=4, depths=(1, 2)"}, IMAGES, 3)
  assert (model.base_dim, model.depths, model.patch_size) == (4, (1, 2), 2)
  with pytest.raises(InputError, match=r"no key of its own: got patch_size\. Hint"):
    build_model({**SETTINGS, "fields": "patch_size=4"}, IMAGES, 3)
  with pytest.raises(InputError, match=r"unknown model field 'base_dims'.*'base_dim'"):
    build_model({**SETTINGS, "fields": "base_dims=4"}, IMAGES, 3)


def nano(fields=""):
  return read_design(f"hornet_nano_7x7:{fields}", 16, 10)


@pytest.mark.parametrize("by", ["macs", "params"])
@pytest.mark.parametrize(
  ("change", "changed"),
  [("mlp", "mlp_ratio=5.5"), ("width", "base_dim=34"), ("depth", "depths=(1, 4)")],
)
def test_a_size_that_is_known_is_found(by, change, changed):
  start = nano("base_dim=30" if change == "width" else "depths=(1, 3)" if change == "depth" else "")
  target = start.with_fields(**parse_fields(changed)).costs()[by]
  found = match(start, target, by, change)
  assert abs(found.ratio - 1) <= 0.01
  assert found.cost == found.design.costs()[by]
  if change != "mlp":
    assert found.ratio == 1


def test_widths_that_a_model_cannot_have_are_left_out():
  """Heads divide the width: of all widths near the target those that do are taken."""
  start = Design("deit_micro", "depths=(2,), grid=(4, 4)", 16, 10)
  target = start.with_fields(base_dim=60).costs()["macs"]
  found = match(start, target, change="width")
  assert parse_fields(found.design.fields)["base_dim"] % 3 == 0


def test_what_cannot_be_matched():
  with pytest.raises(InputError, match=r"1\.0% of 1,000 macs by changing depth: got \d+\.\d+ of"):
    match(nano(), 1000, change="depth")
  with pytest.raises(InputError, match=r"unknown change 'size'.*both, depth, mlp, width"):
    match(nano(), 1000, change="size")


def test_the_command_prints_the_table(capsys):
  arguments = ["hornet_nano_7x7", "hornet_nano_gf:filters=('7x7', (4, 3))", "--change=mlp"]
  assert main(["match", *arguments, "--image_size=16", "--num_classes=10"]) == 0
  lines = capsys.readouterr().out.splitlines()
  assert lines[0] == "macs within 1% at 16 pixels, 10 classes"
  assert lines[-2].split()[0] == "hornet_nano_7x7"
  assert "filters=('7x7', (4, 3)), mlp_ratio=" in lines[-1]
  assert abs(float(lines[-1].split()[-1]) - 1) <= 0.01


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["", "imagenet"])
@pytest.mark.parametrize("name", ["families", "filters", "isotropic", "orders"])
def test_designs_of_the_studies_are_equally_expensive(name, folder):
  study = load_study(ROOT / "experiments" / name / folder)
  costs = []
  for arm in study.arms:
    config = nest(study.trial(arm, 1e-3, 0).settings)
    costs.append(count_model(config["model"], config["data"], 10).macs)
  assert max(costs) <= 1.01 * min(costs)
