"""`fit` reads tables, says what it found, and refuses bad input in one line."""

import csv
import json
import pathlib
import re

import pytest
from law_data import FOLDER, PLANTED
from law_tables import CHINCHILLA, QUICK, fit_json, law_at, refused, study, trial, write

from hornet_jax.cli.main import main
from hornet_jax.errors import InputError
from hornet_jax.laws.saved import read_best_size


@pytest.fixture(scope="module")
def results(tmp_path_factory):
  return write(tmp_path_factory.mktemp("study") / "results.csv", study())


def test_our_own_table_is_read_as_it_is(results, capfd):
  found = fit_json(capfd, results, *QUICK)
  assert found["columns"]["data"] == "images_seen"
  assert found["points"] == 30
  for name, (low, high) in found["intervals"].items():
    assert low < PLANTED[name] < high, name
  assert found["warnings"] == []
  assert found["holdout"]["rmse"] < 0.02


def test_a_saved_fit_gives_the_best_size_of_a_budget(results, tmp_path, capfd):
  saved = tmp_path / "fit.json"
  found = fit_json(capfd, results, *QUICK)
  saved.write_text(json.dumps(found))
  best = read_best_size(saved)
  p = found["parameters"]
  for budget in (1e16, 1e19):
    size = best(budget)
    losses = [
      p["E"] + p["A"] / n ** p["alpha"] + p["B"] / (budget / (6 * n**0.9)) ** p["beta"]
      for n in (size, 0.9 * size, 1.1 * size)
    ]
    assert losses[0] < min(losses[1:])
  saved.write_text(json.dumps(fit_json(capfd, results, "--law=power", *QUICK)))
  for path, message in (
    (saved, "of the law power no cost"),
    (tmp_path / "none.json", "cannot be read: .*No such file"),
    (results, "cannot be read: Expecting value"),
  ):
    with pytest.raises(InputError, match=f"prints of a law of size and data: .*{message}"):
      read_best_size(path)
  with pytest.raises(InputError, match="`budget` must be a positive number"):
    best(0.0)


def test_what_is_printed_names_the_columns(results, capfd):
  assert (
    main(["fit", results, *QUICK, "--budget=1e17", "--predict=params:1e8,images_seen:1e9"]) == 0
  )
  printed = capfd.readouterr().out
  for words in (
    "L = E + A / N^alpha + B / D^beta, 30 points",
    "size params, data images_seen, loss loss",
    "None of the known failures was found.",
    "E by its profile likelihood",
    "larger runs",
    "it is 6 N^0.9 for one of images_seen, where N is params",
    "params, interval",
    "error = e - k exp(-g L)",
  ):
    assert words in printed, words
  interval = r" +([\d.]+) to ([\d.]+)"
  [row] = re.findall(rf"^ *1e\+08 +1e\+09 +([\d.]+){interval}{interval}", printed, re.MULTILINE)
  predicted, low, high, run_low, run_high = map(float, row)
  assert run_low < low < predicted < high < run_high
  assert predicted == pytest.approx(law_at(1e8, 1e9), rel=0.02)


def test_as_many_points_as_parameters_are_fitted_without_a_residual(tmp_path, capfd):
  grid = [(1e6, 1e7), (4e6, 1e7), (3e7, 1e7), (3e7, 1e8), (1e6, 1e9)]
  rows = [trial(f"t{i}", *at, law_at(*at)) for i, at in enumerate(grid)]
  found = fit_json(capfd, write(tmp_path / "five.csv", rows), *QUICK)
  assert found["objective"] < 1e-12
  assert found["aicc"] is None
  assert found["holdout"] is None


def test_rows_are_taken_by_conditions(results, capfd):
  conditions = ("--where=arm=wide", "--where=params>2e6", "--where=images_seen<5e8")
  found = fit_json(capfd, results, *QUICK, *conditions)
  assert found["points"] == 4 * 4


def test_a_law_of_compute_may_take_the_frontier_alone(results, capfd):
  everything = fit_json(capfd, results, "--law=power", *QUICK)
  frontier = fit_json(capfd, results, "--law=power", "--frontier", *QUICK)
  assert frontier["points"] < everything["points"] == 30
  assert frontier["objective"] / frontier["points"] < 0.2 * everything["objective"] / 30


def test_width_and_depth_are_columns_that_are_named(tmp_path, capfd):
  shapes = [(w, h, d) for w in (16, 32, 64) for h in (4, 8, 16) for d in (1e6, 1e8)]
  rows = [
    {"wide": w, "deep": h, "tokens": d, "loss": loss}
    for i, (w, h, d) in enumerate(shapes)
    for loss in [(1 + 5 / w**0.5 + 3 / h**0.4 + 9 / d**0.3) * (1 + 0.002 * (i % 3))]
  ]
  path = write(tmp_path / "shapes.csv", rows)
  law = ("--law=width_depth", "--starts=8", "--samples=20")
  columns = ("--width=wide", "--depth=deep", "--data=tokens")
  page = tmp_path / "page.html"
  assert main(["fit", path, *law, *columns, f"--report={page}"]) == 0
  printed = capfd.readouterr().out
  assert "width wide, depth deep, data tokens, loss loss" in printed
  assert page.read_text().count("<svg") == 1
  assert "needs the depth of every run" in refused(capfd, path, *law, *columns[:1], *columns[2:])


def test_columns_are_named_where_they_are_others(capfd):
  found = fit_json(capfd, *CHINCHILLA, *QUICK)
  assert found["objective"] == pytest.approx(0.00182601, rel=1e-5)
  assert found["columns"]["data"] == "Training FLOP / (6 Model Size)"


def test_published_parameters_are_judged(capfd):
  found = fit_json(capfd, *CHINCHILLA, "--at=E=1.69,A=406.4,B=410.7,alpha=0.34,beta=0.28")
  assert found["objective"] == pytest.approx(0.00501798, rel=1e-5)
  assert [warning["name"] for warning in found["warnings"]] == ["early stop"]


def test_the_benchmark_s_table_is_read_as_it_is(tmp_path, capfd):
  with (FOLDER / "nmt.csv").open() as file:
    rows = [
      {
        **{"Domain": "language", "Task": "en-de", "Model": row["model"]},
        **{"Seen Examples": row["seen"], "Loss": row["loss"], "Training": row["train"]},
      }
      for row in csv.DictReader(file)
    ]
  path = write(tmp_path / "benchmark.csv", rows)
  found = fit_json(capfd, path, "--law=m1", "--where=Model=6Enc6Dec", *QUICK)
  assert found["points"] == 10
  assert found["holdout"] == {"from": None, "points": 1, "rmse": pytest.approx(0.2619, abs=2e-4)}
  released = fit_json(capfd, path, "--law=m2", "--where=Model=DecOnly", "--criterion=released")
  assert released["holdout"]["rmse"] == pytest.approx(0.0103, abs=1e-4)
  assert [warning["name"] for warning in released["warnings"]] == ["degenerate corner"]


def test_the_page_needs_no_other_file(results, tmp_path, capfd):
  page = tmp_path / "fit.html"
  assert main(["fit", results, *QUICK, f"--report={page}"]) == 0
  text = page.read_text()
  assert text.count("<svg") == 3
  assert not re.findall(r'(?:src|href)="(?!data:|#)', text)
  assert "images_seen" in text
  assert "Warnings" in text
  identifiers = re.findall(r' id="([^"]+)"', text)
  assert len(identifiers) == len(set(identifiers))


def changed(name, **cells):
  return [row | cells if row["trial"] == name else row for row in study()]


@pytest.mark.parametrize(
  ("rows", "flags", "message"),
  [
    (
      [{"a": "1"}],
      [],
      "a column with losses: expected loss, got a. Hint: .*--loss=COLUMN",
    ),
    ([{"loss": "1"}], [], "needs the size of every run: got loss. Hint: .*--size=COLUMN"),
    (
      changed("t3", loss="nan"),
      [],
      "loss must hold positive numbers: got 'nan' in the row .* begins with t3,",
    ),
    (
      changed("t3", params="many"),
      [],
      "params must hold positive numbers: got 'many' in the row .* begins with t3",
    ),
    (changed("t3", loss="inf"), [], "loss must hold positive numbers: got 'inf'"),
    (changed("t3", loss="-2"), [], "loss must hold positive numbers: got '-2'"),
    (
      changed("t3", loss="1e-200"),
      [],
      "loss must hold numbers from 1e-60 to 1e[+]60: got '1e-200'",
    ),
    (changed("t3", params="1e200"), [], "params must hold numbers from 1e-60 to 1e[+]60"),
    (changed("t3", params="1,000"), [], "params must hold positive numbers: got '1,000'"),
    (
      [row | {"params": str(1000 + 1e-9 * i)} for i, row in enumerate(study())],
      [],
      "at several values of params: got 1000 in all 30",
    ),
    (study(), ["--size=images_seen"], "`size` and `data` must be columns of their own: got images"),
    (study(), ["--loss=params"], "`size` and `loss` must be columns of their own: got params"),
    (study(), ["--at=E=1,A=inf,B=1,alpha=1,beta=1"], "`at` must give numbers: got inf for A"),
    (study(), ["--at=E=1,E=2,B=1,alpha=1,beta=1"], "`at` must give each name once: got E=1,E=2"),
    (study()[:4], [], "has 5 parameters and needs as many points: got 4 points"),
    (study()[:5], [], "needs points at several values of params: got 1e[+]06 in all 5"),
    ([row | {"loss": "1"} for row in study()], [], "at several values of loss: got 1 in all 30"),
    (study(), ["--law=chinchila"], "unknown law 'chinchila': did you mean 'chinchilla'"),
    (study(), ["--size=parms"], "unknown column of .* 'parms': did you mean 'params'"),
    (study(), ["--where=arm=deep"], "rows of .* with arm=deep must exist: arm is wide"),
    (study(), ["--where=arm"], "a condition must be such as arm=wide or flops<1e18: got 'arm'"),
    (study(), ["--where=flops<wide"], "'flops<wide' must compare with a number: got 'wide'"),
    (study(), ["--at=E=1"], "`at` must give the parameters of chinchilla: expected E, A, B"),
    (study(), ["--predict=params:1"], "`predict` must give params and images_seen"),
    (study(), ["--predict=params"], "`predict` must hold pairs such as name:value: got 'params'"),
    (study(), ["--budget=much"], "`budget` must hold numbers: got 'much'"),
    (study(), ["--budget=-1"], "`budget` must hold positive numbers: got -1"),
    (study(), ["--samples=5"], "`samples` must be 0, or 20 and more: got 5"),
    (study(), ["--seed=-1"], "`seed` must not be negative: got -1"),
    (study(), ["--holdout=1e30"], "hold-out must have points: expected some from flops = 1e[+]30"),
    (study(), ["--holdout=1"], "without the 30 points that are held out: chinchilla has 5"),
    (study(), ["--level=95"], "`level` must be between 0 and 1: got 95"),
    (study(), ["--delta=0", "--criterion=huber"], "`delta` must be a positive number: got 0"),
    (study(), ["--register=p.json"], "`register` needs `predict`"),
    (study(), ["--check=p.json"], "`check` needs the `trial`"),
    (study(), ["--check=none.json", "--trial=t1"], "must be a registered prediction"),
    (study(), ["--criterion=released"], "unknown law with a released scheme 'chinchilla'"),
    (study(), ["--law=m1", "--budget=1e18"], "`budget` needs a law of size and data: got m1"),
  ],
)
def test_bad_input_is_one_line(tmp_path, capfd, rows, flags, message):
  line = refused(capfd, write(tmp_path / "bad.csv", rows), *QUICK, *flags)
  assert re.search(message, line), line


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (None, "must be a CSV file of runs: there is none"),
    (b"", "must have a line of names and a row a run: got no row"),
    (b"\x89PNG\r\n\x1a\n\xff\xfe", "must be a CSV file of runs: got a file of a kind"),
    (b"loss,params,loss\n1,2,3\n", "columns of different names: 'loss' is there twice"),
    (b'loss,params\n1,"2\n3,4\n', "got a text file, after line 1: unexpected end of data"),
    (b"loss;params\n1,5;2\n", "loss must hold positive numbers: got '1,5'"),
    (b"loss,params\n1,2,3\n", "with 2 columns, loss, params: line 2 has another number of them"),
  ],
)
def test_what_is_no_table_is_one_line(tmp_path, capfd, content, message):
  path = tmp_path / "none.csv"
  if content is not None:
    path.write_bytes(content)
  assert message in refused(capfd, str(path))


@pytest.mark.parametrize("separator", [";", "\t", ", "])
def test_other_programs_separate_cells_otherwise(results, tmp_path, capfd, separator):
  path = tmp_path / "other.csv"
  path.write_text(pathlib.Path(results).read_text().replace(",", separator))
  found = fit_json(capfd, str(path), *QUICK)
  assert found["parameters"] == fit_json(capfd, results, *QUICK)["parameters"]


def test_rows_that_are_there_twice_are_told(tmp_path, capfd):
  path = write(tmp_path / "twice.csv", [*study(), *study()[:3]])
  [warning] = fit_json(capfd, path, *QUICK)["warnings"]
  assert warning["name"] == "repeated rows"
  assert warning["text"].startswith("3 of 33 rows are copies of others")
