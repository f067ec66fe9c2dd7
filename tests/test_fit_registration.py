"""A prediction is registered once, before its run, and is held against that run alone."""

import json
import re

import pytest
from law_tables import AT, QUICK, fit_json, law_at, refused, study, trial, write

from hornet_jax.cli.main import main


@pytest.fixture(scope="module")
def results(tmp_path_factory):
  return write(tmp_path_factory.mktemp("study") / "results.csv", study())


STARTED = {"started": "2099-01-01T00:00:00+00:00"}


@pytest.fixture(scope="module")
def registration(results, tmp_path_factory):
  path = tmp_path_factory.mktemp("registered") / "prediction.json"
  assert (
    main(["fit", results, *QUICK, *AT, "--json", "--where=arm=wide", f"--register={path}"]) == 0
  )
  return path.read_text()


@pytest.fixture
def registered(registration, tmp_path):
  path = tmp_path / "prediction.json"
  path.write_text(registration)
  return path


def with_run(tmp_path, measured, **changes):
  row = trial("next", 1e8, 1e9, measured, **STARTED | changes)
  return write(tmp_path / "later.csv", [*study(), row])


def test_a_run_that_waits_in_the_table_is_no_part_of_the_fit(tmp_path, capfd):
  waiting = write(tmp_path / "results.csv", [*study(), trial("next", 1e8, 1e9, 1.0) | {"loss": ""}])
  path = tmp_path / "prediction.json"
  found = fit_json(capfd, waiting, *QUICK, *AT, f"--register={path}")
  assert found["points"] == len(json.loads(path.read_text())["trials"]) == 30
  later = with_run(tmp_path, law_at(1e8, 1e9))
  assert main(["fit", later, f"--check={path}", "--trial=next"]) == 0


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "inside"), (1.1, "outside")])
def test_a_registered_prediction_is_held_against_its_run(
  registered, tmp_path, capfd, factor, verdict
):
  later = with_run(tmp_path, factor * law_at(1e8, 1e9))
  capfd.readouterr()
  assert main(["fit", later, f"--check={registered}", "--trial=next"]) == 0
  assert f", {verdict} the 95% interval" in capfd.readouterr().out


def test_a_registered_prediction_says_what_it_rests_on(registered):
  content = json.loads(registered.read_text())
  assert content["law"] == "chinchilla"
  assert content["at"] == {"params": 1e8, "images_seen": 1e9}
  assert content["interval"][0] < content["predicted"] < content["interval"][1]
  assert len(content["trials"]) == 30
  assert re.fullmatch(r"[0-9a-f]{64}", content["data"])
  assert content["registered"].endswith("+00:00")


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"started": "2026-01-01T00:00:00"}, "must be older than the run: registered .* next started"),
    ({"params": "2e8"}, "must be at the registered scale: expected params = 1e[+]08, got 2e8"),
    ({"arm": "deep"}, "must be about such a run: expected arm=wide, got 'deep'"),
    ({"loss": ""}, "must have losses in loss: got empty cells alone"),
    ({"started": "soon"}, "must be in ISO 8601: got 'soon'"),
  ],
)
def test_a_run_that_the_prediction_is_not_about_is_refused(
  registered, tmp_path, capfd, changes, message
):
  later = with_run(tmp_path, 1.0, **changes)
  capfd.readouterr()
  assert re.search(message, refused(capfd, later, f"--check={registered}", "--trial=next"))


def test_a_prediction_of_what_was_fitted_to_is_refused(registered, results, capfd):
  capfd.readouterr()
  line = refused(capfd, results, f"--check={registered}", "--trial=t3")
  assert "trial t3 must be new to the prediction" in line
  line = refused(capfd, results, f"--check={registered}", "--trial=none")
  assert "trial none must have a row" in line


def test_a_changed_prediction_is_refused(registered, results, tmp_path, capfd):
  later = with_run(tmp_path, 1.0)
  content = json.loads(registered.read_text())
  registered.write_text(json.dumps(content | {"predicted": 1.0}))
  capfd.readouterr()
  line = refused(capfd, later, f"--check={registered}", "--trial=next")
  assert "must be as it was written" in line


def test_a_prediction_is_registered_once(registered, results, capfd):
  capfd.readouterr()
  assert main(["fit", results, *QUICK, *AT, "--json", f"--register={registered}"]) == 2
  assert "must not exist: a prediction is registered once" in capfd.readouterr().err
