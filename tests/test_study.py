"""Studies: what a trial is, which are run, what goes on where it stopped, what is written."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import types

import pytest
from compiling import QUICK_FLAGS
from etils import epath
from waiting import wait_for

from hornet_jax.cli.main import main
from hornet_jax.errors import InputError, StorageError
from hornet_jax.runs.result import RunResult
from hornet_jax.studies import Arm, Study
from hornet_jax.studies.learning_rate import best_rate, rates_to_try
from hornet_jax.studies.results import COLUMNS, add_result, read_results
from hornet_jax.studies.run_study import Runner, run_study
from hornet_jax.studies.study import load_study
from hornet_jax.studies.summary import arm_results, learning_rates_table, results_table
from hornet_jax.studies.trial import Trial, run_trial

ROOT = pathlib.Path(__file__).parents[1]
STUDY = Study(
  config="digits:variant={variant}",
  arms={"A": Arm("nano_7x7", family="f"), "B": Arm("nano_gf", "base_dim=16", "f")},
  families={"f": "A"},
  learning_rates=(1e-3, 2e-3),
  tuning={"data.eval_split": "train[1000:]"},
  seeds=(0, 1),
)


def row(trial, score, **changes):
  return dict.fromkeys(COLUMNS, "0") | {
    "trial": trial.name,
    "score": "" if score is None else f"{score:.6f}",
    "learning_rate": f"{trial.overrides['optimizer.learning_rate']:g}",
    "params_with_head": "1000",
    "macs": "2000",
    "seconds": "1.0",
    "reason": "" if score is not None else "diverged",
    **changes,
  }


def test_a_trial_is_known_by_what_touches_its_numbers():
  trial = STUDY.trial("B", 1e-3, 0)
  same = {"log.every_steps": 7, "data.data_dir": "elsewhere", "checkpoint.keep": 2}
  other = {"seed": 1}, {"epochs": 3.0}, {"model.fields": ""}, {"optimizer.learning_rate": 2e-3}
  assert Trial(trial.config, {**trial.overrides, **same}).name == trial.name
  names = {Trial(trial.config, {**trial.overrides, **change}).name for change in other}
  assert len(names | {trial.name}) == len(other) + 1
  assert trial.settings["model.variant"] == "hornet_nano_gf"
  assert "--config.model.fields=base_dim=16" in trial.arguments()
  with pytest.raises(InputError, match=r"keys and values of a config.*learning_rates"):
    _ = Trial("digits", {"optimizer.learning_rates": 1.0}).name


def test_learning_rates_go_on_while_the_best_is_at_an_end():
  scores = {1e-3: 0.5, 2e-3: 0.6, 4e-3: 0.7, 8e-3: None}
  results = {}
  tried = []
  while left := [r for r in rates_to_try(STUDY, results, "f") if r not in tried]:
    tried += left
    for rate in left:
      trial = STUDY.tuning_trial("f", rate)
      results[trial.name] = row(trial, scores[rate])
  assert tried == [1e-3, 2e-3, 4e-3, 8e-3]
  assert best_rate(STUDY, results, "f") == 4e-3
  table = learning_rates_table(STUDY, results).splitlines()
  assert [cell.strip() for cell in table[0].split("|")[1:-1]] == [
    *("family", "0.001", "0.002", "0.004", "0.008")
  ]
  assert [cell.strip() for cell in table[2].split("|")[1:-1]] == [
    *("f", "50.00%", "60.00%", "70.00%", "failed")
  ]


@pytest.fixture
def runs(monkeypatch):
  """The names of the trials that were run; their score is that of their seed and learning rate."""
  names = []

  def run_trial(trial, workdirs, logs):
    names.append(trial.name)
    return RunResult(True, 1, 1, {}, "", 0, "", "")

  def describe(trial, result, workdir):
    rate, seed = trial.overrides["optimizer.learning_rate"], trial.overrides["seed"]
    return row(trial, 0.9 - abs(rate - 4e-3) - 0.1 * seed)

  monkeypatch.setattr("hornet_jax.studies.run_study.run_trial", run_trial)
  monkeypatch.setattr("hornet_jax.studies.run_study.describe_result", describe)
  return names


def test_a_study_runs_what_has_no_result(runs, tmp_path):
  table, lines = epath.Path(tmp_path / "trials.csv"), []
  runner = Runner(table, tmp_path, 2, lines.append)
  run_study(STUDY, runner)
  # Four learning rates (the second of two was the best, then the third), two arms of two seeds.
  assert len(runs) == len(set(runs)) == 4 + 4
  assert lines[0].startswith("1/2 f, learning rate 0.00")
  assert lines[-1].startswith("4/4 ")
  rows = read_results(table)
  assert list(rows) == sorted(runs)

  arms = arm_results(STUDY, runner.results)
  assert arms["A"].scores == [0.9, 0.8]
  assert arms["A"].learning_rate == 4e-3
  cells = [cell.strip() for cell in results_table(STUDY, arms).splitlines()[2].split("|")[1:-1]]
  assert cells == ["A", "1,000", "2,000", "0.004", "85.00%", "7.07%", "2 of 2"]

  # One result is lost: that alone is run again. Nothing more where all are there.
  lost = STUDY.trial("B", 4e-3, 1).name
  rest = [rows[name] for name in rows if name != lost]
  table.unlink()
  for other in rest:
    add_result(table, other)
  runs.clear()
  run_study(STUDY, Runner(table, tmp_path, 1, lines.append))
  assert runs == [lost]
  run_study(STUDY, Runner(table, tmp_path, 1, lines.append))
  assert runs == [lost]


def test_what_is_written(runs, tmp_path, capsys):
  folder = tmp_path / "colours"
  folder.mkdir()
  (folder / "study.py").write_text(
    "from hornet_jax.studies import Arm, Study\n\n\ndef get_study():\n  return Study(\n"
    '    config="digits:variant={variant}", arms={"red": Arm("nano_7x7", family="f")},\n'
    '    families={"f": "red"}, learning_rates=(4e-3, 8e-3), tuning={"ema.decay": 0.9})\n'
  )
  marks = "<!-- written by `hornet study` -->", "<!-- end of what it wrote -->"
  (folder / "README.md").write_text(f"before\n{marks[0]}\nold\n{marks[1]}\nafter\n")
  arguments = ["study", str(folder), f"--trials={tmp_path}"]
  assert main([*arguments, "--dry_run"]) == 0
  assert "5 of 5 trials are left" in capsys.readouterr().out
  assert main([*arguments, "--no_training"]) == 2
  assert "expected rows in" in capsys.readouterr().err
  assert main(arguments) == 0
  page = (folder / "README.md").read_text()
  assert page.startswith(f"before\n{marks[0]}\n\n| arm ")
  assert page.endswith(f"{marks[1]}\nafter\n")
  assert "| red " in page
  assert "old" not in page
  assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
  assert len(read_results(epath.Path(tmp_path / "trials.csv"))) == len(runs)
  assert main([*arguments, "--dry_run"]) == 0
  assert capsys.readouterr().out.splitlines()[-1].startswith("0 of ")


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"families": {}}, "unknown family of the arm 'A' 'f'"),
    ({"families": {"f": "C"}}, "unknown arm of the family 'f' 'C'"),
    ({"learning_rates": (1e-3,)}, "at least two, ascending: got 0.001"),
    ({"learning_rates": (2e-3, 1e-3)}, "at least two, ascending: got 0.002, 0.001"),
  ],
)
def test_studies_that_contradict_themselves(changes, message):
  fields = {name: getattr(STUDY, name) for name in ("config", "arms", "tuning")}
  fields |= {"families": STUDY.families, "learning_rates": STUDY.learning_rates}
  with pytest.raises(InputError, match=message):
    Study(**{**fields, **changes})


def test_files_that_are_no_study(tmp_path):
  with pytest.raises(InputError, match=r"a folder with a study\.py: got"):
    load_study(tmp_path)
  (tmp_path / "study.py").write_text("x = 1 / 0")
  with pytest.raises(InputError, match=r"must define get_study.*ZeroDivisionError"):
    load_study(tmp_path)
  (tmp_path / "study.py").write_text("def get_study():\n  return 3")
  with pytest.raises(InputError, match="must give a Study: got int"):
    load_study(tmp_path)
  table = epath.Path(tmp_path / "trials.csv")
  table.write_text("a,b\n1,2\n")
  with pytest.raises(
    InputError, match=r"a table of trials: expected the columns trial, .*got a, b"
  ):
    read_results(table)


@pytest.mark.slow
def test_a_study_that_is_killed_goes_on(data_dir, tmp_path):
  """One arm, two learning rates and a seed: killed while it trains, then as if undisturbed."""
  folder = tmp_path / "digits"
  folder.mkdir()
  settings = {"data.data_dir": data_dir, "epochs": 1.0, "optimizer.warmup_epochs": 0.2}
  (folder / "study.py").write_text(
    "from hornet_jax.studies import Arm, Study\n\n\ndef get_study():\n  return Study(\n"
    '    config="digits:variant={variant}", arms={"a": Arm("nano_7x7", "depths=(1, 1)", "f")},\n'
    '    families={"f": "a"}, learning_rates=(1e-3, 2e-3), tuning={"ema.decay": 0.9}, seeds=(0,),\n'
    f"    settings={settings})\n"
  )
  trials = tmp_path / "t"
  command = [sys.executable, "-m", "hornet_jax", "study", str(folder), f"--trials={trials}"]
  for is_killed in (True, False):
    child = subprocess.Popen(
      command,
      cwd=ROOT,
      env={**os.environ, "XLA_FLAGS": QUICK_FLAGS},
      stderr=subprocess.PIPE,
      text=True,
      start_new_session=True,
    )
    if is_killed:
      wait_for(lambda: list(trials.glob("*/clock.json")), child, seconds=300)
      os.killpg(child.pid, signal.SIGKILL)
    _, errors = child.communicate(timeout=600)
  assert child.returncode == 0, errors
  rows = list(read_results(epath.Path(tmp_path / "trials.csv")).values())
  assert len(rows) >= 3
  assert all(float(row["score"]) > 0 for row in rows)
  assert {json.loads(row["overrides"])["model.fields"] for row in rows} == {"depths=(1, 1)"}
  assert {row["params"] for row in rows} == {rows[0]["params"]}


class Process:
  """Stands for `subprocess.Popen`: exit status and result in the trial's workdir, one a start."""

  def __init__(self, workdir, *answers):
    self.workdir, self.answers = workdir, list(answers)

  def __call__(self, command, stdout, **_):
    status, complete, reason = self.answers.pop(0)
    stdout.write(f"hornet: error: {reason}\n")
    if complete is not None:
      result = RunResult(complete, 3, 9, {}, "", status, reason, "")
      self.workdir.mkdir(parents=True, exist_ok=True)
      (self.workdir / "result.json").write_text(json.dumps(dataclasses.asdict(result)))
    return types.SimpleNamespace(wait=lambda: status)


@pytest.mark.parametrize(
  ("answers", "expected"),
  [
    ([(75, False, "stopped"), (0, True, "complete")], True),
    ([(2, False, "step 3 must give finite numbers: got nan")], False),
    ([(2, None, "no data")], (InputError, "trial .*: no data .see .*log.")),
    ([(1, False, "KeyError: 1")], (RuntimeError, "ended with status 1: .*KeyError")),
    ([(75, False, "lost")] * 3, (StorageError, "stopped 3 times")),
  ],
)
def test_how_a_trial_may_end(monkeypatch, tmp_path, answers, expected):
  trial = STUDY.trial("A", 1e-3, 0)
  process = Process(tmp_path / trial.name, *answers)
  monkeypatch.setattr("subprocess.Popen", process)
  if isinstance(expected, tuple):
    with pytest.raises(expected[0], match=expected[1]):
      run_trial(trial, epath.Path(tmp_path), tmp_path)
  else:
    result = run_trial(trial, epath.Path(tmp_path), tmp_path)
    assert (result.complete, result.diverged) == (expected, not expected)
    assert run_trial(trial, epath.Path(tmp_path), tmp_path) == result  # it is not started again
  assert not process.answers


def test_new_keys_rename_no_trial():
  """What has a row in the repository is not to be run again."""
  table = read_results(epath.Path(ROOT / "experiments" / "trials.csv"))
  for name, row in list(table.items())[:5]:
    assert Trial(row["config"], json.loads(row["overrides"])).name == name
