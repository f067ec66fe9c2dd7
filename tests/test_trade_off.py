"""Published accuracies against costs: what is read, counted and drawn."""

import csv
import json

import pytest
from etils import epath

from hornet_jax.bench.trade_off import Entry, read_entries, trade_off
from hornet_jax.cli.main import main
from hornet_jax.cost.finished import FINISHED, find_scale
from hornet_jax.errors import InputError
from hornet_jax.report.trade_off import Panel, draw_trade_off

HEADER = "model,series,top1,source\n"
PANELS = (Panel("params", "parameters"), Panel("s", "seconds", to="more"))
ROWS = [
  {"series": "A", "top1": 80.0, "params": 1e6, "s": 0.1, "more": 0.3},
  {"series": "A", "top1": 81.0, "params": 2e6, "s": 0.2, "more": 0.4},
  {"series": "B", "top1": None, "params": 3e6, "s": 0.3, "more": 0.5},
]


def test_entries(tmp_path):
  path = epath.Path(tmp_path / "models.csv")
  path.write_text(f'{HEADER}hornet_nano_7x7,"small, of ours",80.5,here\nswin_micro,Swin,,\n')
  assert read_entries(path) == [
    Entry("hornet_nano_7x7", "small, of ours", 80.5, "here"),
    Entry("swin_micro", "Swin", None, ""),
  ]


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("model,top1\nswin_micro,1\n", "must have the columns model, series, top1, source .*top1"),
    ("", "must have the columns .* got no row"),
    (f"{HEADER}swin_mikro,S,,\n", "unknown variant 'swin_mikro': did you mean 'swin_micro'"),
    (f"{HEADER}swin_micro,S,good,x\n", "must be a percentage.*'good' of swin_micro"),
    (f"{HEADER}swin_micro,S,101,x\n", "must be a percentage.*'101' of swin_micro"),
    (f"{HEADER}swin_micro,S,80,\n", "`source` must say where"),
    (f"{HEADER}swin_micro,S,,x\n", "`source` must say where"),
    (f"{HEADER}swin_micro,S,,\nswin_micro,S,,\n", "each model once: got swin_micro twice"),
  ],
)
def test_entries_that_cannot_be_read(tmp_path, text, message):
  path = epath.Path(tmp_path / "models.csv")
  path.write_text(text)
  with pytest.raises(InputError, match=message):
    read_entries(path)


def test_an_absent_file_is_one_line(tmp_path, capfd):
  arguments = ["bench", "tradeoff", f"--models={tmp_path}/none.csv", f"--out={tmp_path}/out"]
  assert main(arguments) == 2
  assert "`models` must be a CSV file" in capfd.readouterr().err
  assert not (tmp_path / "out").exists()


def test_costs_are_those_of_a_plan(monkeypatch):
  """Finished compiles printed the units' time in turn, for the same step on eight chips."""
  monkeypatch.setattr("hornet_jax.bench.trade_off.make_forward", lambda *args: lambda: None)
  names = ("hornet_tiny_7x7", "convnext_tiny")
  [row, other] = trade_off([Entry(n, "S", None, "") for n in names], 4, 1, "v5e").rows
  [finished] = [
    f for f in FINISHED if (f.variant, f.dtype, f.images) == (names[0], "bfloat16", 128)
  ]
  assert row["params"] == 22_409_512
  assert row["macs"] == 3_968_389_312
  assert row["v5e s in turn"] == pytest.approx(finished.in_turn / 128, rel=1e-3)
  scale = find_scale(names[0], "v5e", "bfloat16", "dft", "none", 128)
  assert row["v5e s cycles"] == pytest.approx(scale.ratio * row["v5e s in turn"])
  assert 0 < row["v5e s at peak"] < row["v5e s in turn"]
  assert other["v5e s cycles"] is None  # no compile of its family was finished
  assert row["to hornet_tiny_7x7"] == 1


def test_the_command_writes_a_table_and_a_figure(tmp_path, capfd):
  models = tmp_path / "models.csv"
  models.write_text(f"{HEADER}hornet_nano_7x7,A,80,x\nhornet_nano_gf,B,,\n")
  arguments = [f"--models={models}", f"--out={tmp_path}/out", "--rounds=1", "--batch=1", "--json"]
  assert main(["bench", "tradeoff", *arguments]) == 0
  rows = json.loads(capfd.readouterr().out)["rows"]
  written = list(csv.DictReader((tmp_path / "out" / "tradeoff.csv").read_text().splitlines()))
  assert [row["model"] for row in written] == ["hornet_nano_7x7", "hornet_nano_gf"]
  for row, told in zip(written, rows, strict=True):
    assert row == {key: "" if value is None else str(value) for key, value in told.items()}
    assert float(row["images/CPU-s"]) > 0
  assert (tmp_path / "out" / "tradeoff.png").read_bytes().startswith(b"\x89PNG")


def test_the_figure_depends_on_every_number():
  drawn = draw_trade_off(ROWS, PANELS, "note")
  assert drawn == draw_trade_off(ROWS, PANELS, "note")
  for index, column, value in (
    (0, "top1", 80.5),
    (1, "params", 2.5e6),
    (1, "more", 0.45),
    (2, "params", 2.5e6),
    (2, "more", 0.55),
    (2, "top1", 80.5),
  ):
    others = [{**row, column: value} if i == index else row for i, row in enumerate(ROWS)]
    assert draw_trade_off(others, PANELS, "note") != drawn, (index, column)
