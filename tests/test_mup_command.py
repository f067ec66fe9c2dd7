"""Activations and learning rates over the width: the arithmetic, and small models trained."""

import math
import re

import pytest

from hornet_jax.cli.main import main
from hornet_jax.studies.width_effects import (
  best_rate,
  coordinates_table,
  rates_table,
  slope,
  spread,
)

SMALL = {"data.image_size": 16, "data.batch_size": 16, "model.fields": "depths=(1,)"}


def overrides(data_dir, **others):
  settings = {"data.data_dir": data_dir, **SMALL, **others}
  return [f"--config.{key}={value}" for key, value in settings.items()]


def test_slopes_and_tables():
  widths = [16, 32, 64]
  assert slope(widths, [2 * width**0.5 for width in widths]) == pytest.approx(0.5)
  scales = {"standard": {"stem": [1.0, 2.0, 4.0], "logits": [1.0] * 3}, "mup": {"stem": [1.0] * 3}}
  scales["mup"]["logits"] = [4.0, 2.0, 1.0]
  table = coordinates_table(widths, scales)
  rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
  assert rows[2] == ["stem", "1", "4", "+1.000", "1", "1", "+0.000"]
  assert rows[3] == ["logits", "1", "1", "+0.000", "4", "1", "-1.000"]


def test_the_best_rate_lies_between_those_tried():
  rates = [1e-3, 2e-3, 4e-3, 8e-3]
  optimum = 3e-3
  losses = [1 + math.log(rate / optimum) ** 2 for rate in rates]
  assert best_rate(rates, losses) == pytest.approx(optimum)
  assert best_rate(rates, [4.0, 3.0, 2.0, 1.0]) == 8e-3  # an end
  assert best_rate(rates, [2.0, 1.0, 1.5, math.inf]) == best_rate(rates, [2.0, 1.0, 1.5, 9.0])
  assert best_rate(rates, [2.0, 1.0, math.inf, math.inf]) == 2e-3
  by_width = {16: losses, 32: [1 + math.log(rate / 1.5e-3) ** 2 for rate in rates]}
  assert spread(rates, by_width) == pytest.approx(2)
  table = rates_table(rates, {"mup": by_width | {64: [4.0, 3.0, 2.0, 1.0]}})
  best = [line.split("|")[-2].strip() for line in table.splitlines()[2:]]
  assert best == ["0.003", "0.0015", "0.008 or beyond"]


def steepest(printed):
  """Parametrization -> slope of the layer that has the steepest one."""
  found = re.findall(r"^(\w+): \S+ is steepest, ([+-][\d.]+)$", printed, re.MULTILINE)
  return {name: float(slope) for name, slope in found}


@pytest.mark.slow
def test_activations_keep_their_scale_with_mup_alone(data_dir, tmp_path, capsys):
  """Blocks without layer scale on one grid: what they add grows with the width."""
  picture = tmp_path / "picture.png"
  arguments = ["--config=digits:variant=convnext_iso_micro", *overrides(data_dir)]
  arguments += ["--widths=16,64", "--steps=3", "--seeds=2", f"--out={picture}"]
  assert main(["mup", "coordinates", *arguments]) == 0
  printed = capsys.readouterr().out
  layers = re.findall(r"^\| (\S+) ", printed, re.MULTILINE)
  assert layers == ["layer", "stem", "stage_0/block_0", "pre_logits", "logits"]
  assert abs(steepest(printed)["mup"]) < 0.15
  assert abs(steepest(printed)["standard"]) > 0.3
  assert picture.stat().st_size > 10_000


@pytest.mark.slow
def test_hornet_keeps_its_scale_from_layer_to_layer(data_dir, capsys):
  arguments = ["--config=digits", *overrides(data_dir, **{"model.fields": "depths=(1, 1, 1, 1)"})]
  assert main(["mup", "coordinates", *arguments, "--widths=16,64", "--seeds=2"]) == 0
  found = steepest(capsys.readouterr().out)
  assert abs(found["mup"]) < 0.1
  assert abs(found["standard"]) > 0.3


@pytest.mark.slow
def test_losses_at_several_rates(data_dir, tmp_path, capsys):
  picture = tmp_path / "picture.png"
  arguments = ["--config=digits:variant=convnext_iso_micro", *overrides(data_dir)]
  arguments += [
    "--widths=8,16",
    "--rates=1e-4,1e-2,1e30",
    "--steps=20",
    "--seeds=1",
    f"--out={picture}",
  ]
  assert main(["mup", "rates", *arguments]) == 0
  printed = capsys.readouterr().out
  rows = [line.split("|") for line in printed.splitlines() if line.startswith("| mup ")]
  assert [row[2].strip() for row in rows] == ["8", "16"]
  for row in rows:  # a breakdown is no loss
    assert float(row[4]) < float(row[3])
    assert row[5].strip() == "inf"
  assert "mup: the best learning rates lie within a factor of 1.00" in printed
  assert picture.stat().st_size > 10_000


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["coordinates", "--widths=32,16"], "at least 2 positive numbers, ascending"),
    (["rates", "--widths=16,32", "--rates=1e-3,2e-3"], "at least 3 positive numbers, ascending"),
    (["coordinates", "--widths=16,x"], "got '16,x'"),
  ],
)
def test_what_is_refused(arguments, message, capsys):
  assert main(["mup", *arguments]) == 2
  assert message in capsys.readouterr().err


def test_a_width_that_is_not_possible_is_told(data_dir, capsys):
  arguments = ["--config=digits:variant=deit_micro", f"--config.data.data_dir={data_dir}"]
  assert main(["mup", "coordinates", "--widths=40,48", *arguments]) == 2
  assert "whole heads of 16 channels" in capsys.readouterr().err
