"""The command line as a person uses it: one small run, killed, resumed, used."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
import safetensors.numpy
from etils import epath
from PIL import Image
from waiting import assert_nobody_is_left, wait_for

from hornet_jax.checkpoints.newest_valid import load_params
from hornet_jax.cli.main import main
from hornet_jax.runs.records import read_records

ROOT = pathlib.Path(__file__).parents[1]
SETTINGS = {
  "data.image_size": 16,
  "data.crop_padding": 2,
  "model.drop_path_rate": 0.3,
  "optimizer.warmup_epochs": 0.1,
  "log.every_steps": 4,
  "eval.every_epochs": 1.0,
  "checkpoint.every_steps": 5,
}  # 44 steps


def train_arguments(workdir, data_dir, **overrides):
  settings = {**SETTINGS, "data.data_dir": data_dir, **overrides}
  return [
    "train",
    "--config=configs/digits.py:variant=nano_gf,runlocal",
    f"--workdir={workdir}",
    *(f"--config.{key}={value}" for key, value in settings.items()),
  ]


def start(arguments, folder=ROOT):
  """The command in a session of its own, as from a shell in `folder`."""
  environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
  return subprocess.Popen(
    [sys.executable, "-m", "hornet_jax", *arguments],
    cwd=folder,
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    start_new_session=True,
  )


def signal_after_checkpoint(process, workdir, step, number):
  """Sends a signal as soon as the checkpoint of `step` is complete."""
  wait_for((workdir / "checkpoints" / str(step)).exists, process)
  if number == signal.SIGKILL:
    process.send_signal(number)
  else:
    os.killpg(process.pid, number)  # as a terminal and a scheduler do
  return process.communicate()[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory, data_dir):
  """The workdir and the output of an undisturbed run."""
  workdir = tmp_path_factory.mktemp("run") / "w"
  process = start(train_arguments(workdir, data_dir))
  output = process.communicate()[0]
  assert process.returncode == 0, output
  return workdir, output


@pytest.mark.slow
def test_a_run_tells_what_a_person_wants_to_know(run):
  workdir, output = run
  assert "hornet_nano_gf on digits" in output
  assert re.search(r"step 44: accuracy \d+\.\d\d %", output)
  assert re.search(r"accuracy, averaged weights +\d+\.\d\d %", output)
  assert re.search(r"images evaluated +360", output)
  assert f"report: {workdir}/report.html" in output
  assert "Traceback" not in output
  assert "<svg" in (workdir / "report.html").read_text()
  assert list((workdir / "tensorboard").glob("events.*"))
  records = read_records(epath.Path(workdir))
  logged = [r["step"] for r in records if "train/loss" in r]
  assert logged == list(range(4, 45, 4))
  assert [r["step"] for r in records if "eval/top1" in r] == [22, 44]


@pytest.mark.slow
def test_killed_and_interrupted_run_ends_bit_equal(run, tmp_path, data_dir):
  workdir, _ = run
  other = tmp_path / "w"
  arguments = train_arguments(other, data_dir, **{"data.num_processes": 2})

  interrupted = start(arguments)
  output = signal_after_checkpoint(interrupted, other, 5, signal.SIGINT)
  assert interrupted.returncode == 130, output
  assert re.search(r"stopped after step \d+ of 44; the same command goes on", output)
  assert "Traceback" not in output

  killed = start(arguments)
  output = signal_after_checkpoint(killed, other, 20, signal.SIGKILL)
  assert killed.returncode == -signal.SIGKILL
  assert re.search(r"going on after step \d+ of 44", output)
  assert_nobody_is_left(killed.pid)

  # The kill may have come before the manifest: the newest that has one is damaged as well.
  newest = max(int(p.parent.name) for p in (other / "checkpoints").glob("*/hornet_manifest.json"))
  data = max((other / "checkpoints" / str(newest)).rglob("d/*"), key=lambda p: p.stat().st_size)
  data.write_bytes(data.read_bytes()[:-16] + b"\xa5" * 16)
  finished = start(arguments)
  output = finished.communicate()[0]
  assert finished.returncode == 0, output
  assert f"checkpoint of step {newest} left out: state/" in output
  assert int(re.search(r"going on after step (\d+) of 44", output)[1]) < newest
  step, *params = load_params(epath.Path(workdir) / "checkpoints")
  other_step, *other_params = load_params(epath.Path(other) / "checkpoints")
  assert step == other_step == 44
  jax.tree.map(np.testing.assert_array_equal, params, other_params)
  curves = [
    [(r["step"], r["train/loss"]) for r in read_records(epath.Path(w)) if "train/loss" in r]
    for w in (workdir, other)
  ]
  assert curves[0] == curves[1]


@pytest.mark.slow
def test_another_seed_differs(run, tmp_path, data_dir):
  first = read_records(epath.Path(run[0]))[0]
  # From another folder, and with a relative workdir.
  process = start(train_arguments("w", data_dir, seed=1, epochs=0.2), tmp_path)
  output = process.communicate()[0]
  assert process.returncode == 0, output
  assert read_records(epath.Path(tmp_path / "w"))[0]["train/loss"] != first["train/loss"]


def run_main(capfd, *arguments):
  status = main(list(arguments))
  return status, capfd.readouterr()


@pytest.mark.slow
def test_complete_run_goes_on_with_a_longer_total(run, tmp_path, data_dir, capfd, caplog):
  workdir = tmp_path / "copy"
  shutil.copytree(run[0], workdir)
  (workdir / "metrics.jsonl").unlink()  # lost: the run is none the less complete
  arguments = train_arguments(workdir, data_dir)
  status, captured = run_main(capfd, *arguments)
  assert status == 0
  assert "the run is complete: 44 of 44 steps are done" in caplog.text
  assert f"report: {workdir}/report.html" in captured.out

  status, captured = run_main(capfd, *arguments, "--config.epochs=2.1")
  assert status == 0
  assert "changed since the last start: epochs was 2.0 and is 2.1" in caplog.text
  assert "going on after step 44 of 46" in caplog.text
  assert re.search(r"steps +46\n", captured.out)

  status, captured = run_main(capfd, *arguments, "--config.epochs=1.5")
  assert status == 2
  assert "expected at least 46 steps, got 33" in captured.err


def test_evaluate_and_predict(run, tmp_path, capfd):
  status, captured = run_main(capfd, "evaluate", f"--workdir={run[0]}", "--json")
  assert status == 0
  result = json.loads(captured.out)
  last = [r for r in read_records(epath.Path(run[0])) if "eval/top1" in r][-1]
  assert result["raw"]["top1"] == last["eval/top1"]
  assert result["ema"]["loss"] == pytest.approx(last["eval_ema/loss"], rel=1e-5)

  image = tmp_path / "a digit.png"
  Image.fromarray(np.full((20, 30), 128, np.uint8)).save(image)
  status, captured = run_main(
    capfd, "predict", str(image), str(image), f"--workdir={run[0]}", "--json", "--top=10"
  )
  assert status == 0
  first, second = json.loads(captured.out)
  # The rows of a batch are rounded alike but for the last digit.
  for one, other in zip(first["top"], second["top"], strict=True):
    assert one["class"] == other["class"]
    assert one["probability"] == pytest.approx(other["probability"], abs=1e-6)
  assert sum(entry["probability"] for entry in first["top"]) == pytest.approx(1, abs=1e-5)
  assert {entry["class"] for entry in first["top"]} == set("0123456789")


def test_a_run_of_an_earlier_version_predicts(run, tmp_path, capfd):
  """Its config has no version, and lacks or has what others do not."""
  workdir = tmp_path / "w"
  shutil.copytree(run[0], workdir)
  config = json.loads((workdir / "config.json").read_text())
  del config["version"], config["task"]
  config["model"]["remat"] = False
  config["checkpoint"]["executables"] = True
  (workdir / "config.json").write_text(json.dumps(config))
  image = tmp_path / "digit.png"
  Image.fromarray(np.full((8, 8), 128, np.uint8)).save(image)
  results = [
    run_main(capfd, "predict", str(image), f"--workdir={folder}", "--json")
    for folder in (run[0], workdir)
  ]
  assert [status for status, _ in results] == [0, 0]
  assert results[0][1].out == results[1][1].out


def test_checkpoints_of_a_run(run, tmp_path, capfd):
  workdir = run[0]
  status, captured = run_main(capfd, "checkpoint", "verify", f"--workdir={workdir}")
  assert status == 0
  assert captured.out.splitlines()[-1] == "step 44: intact"
  files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
  for command, file in zip((["export"], ["checkpoint", "export"]), files, strict=True):
    assert run_main(capfd, *command, f"--workdir={workdir}", f"--out={file}")[0] == 0
  first, second = (safetensors.numpy.load_file(file) for file in files)
  jax.tree.map(np.testing.assert_array_equal, first, second)


def test_info(capfd):
  status, captured = run_main(capfd, "info", "hornet_tiny_gf", "--json")
  assert status == 0
  info = json.loads(captured.out)
  assert (info["params"], info["macs"]) == (22_991_848, 3_888_705_120)
  assert sum(stage["params"] for stage in info["stages"]) == info["params"]
  status, captured = run_main(capfd, "info", "hornet_tiny_gf")
  assert "22,991,848" in captured.out


@pytest.mark.parametrize(
  ("extra", "message"),
  [
    (["--config.model.variant=hornet_tinny_gf"], "did you mean 'hornet_tiny_gf'"),
    (["--config.data.dataset=digit"], "unknown dataset 'digit'.* did you mean 'digits'"),
    (["--config.optimizer.lr=1"], "unknown config key 'optimizer.lr': .*expected one of"),
    (["--config.optimizer.learning_rate=fast"], "learning_rate.*fast"),
    (["--config.model.dtype=bfloat61"], "did you mean 'bfloat16'"),
    (
      ["--config=configs/digit.py"],
      "'configs/digit.py' not found.*unknown config 'digit'.*mean 'digits'",
    ),
    (["--config=digit"], "unknown config 'digit': did you mean 'digits'.*expected one of"),
    (
      ["--config=configs/digits.py:varient=x"],
      "'varient=x': did you mean 'variant=.*expected one of runlocal, variant=",
    ),
    (["--config.data.image_size=3"], "at least 4x4 for patch_size 2, got 3x3"),
    (
      ["--config.data.batch_size=60"],
      "data.batch_size` must .* 8 devices: got 60.*use 56 or 64",
    ),
    (["--config.data.batch_size=2048"], r"epochs.*must give a step"),
    (
      ["--config.optimizer.learning_rate=0"],
      "learning_rate` must be > 0, or .*: got 0.0",
    ),
    (["--config.loss.label_smoothing=1"], "label_smoothing` must be >= 0 and < 1: got 1.0"),
    (["--config.checkpoint.on_full_disk=stopp"], "unknown .*on_full_disk.* mean 'stop'"),
    (["--config.checkpoint.every_steps=0"], "checkpoint.every_steps` must be >= 1: got 0"),
    (["--config.optimizer.warmup_epochs=2"], "must be less than `epochs`.*less than 2.0, got 2.0"),
    (["--config.version=2"], "`version` must not be set: expected 1, got 2"),
    (["--config.epochs=inf"], "`epochs` must be > 0, or -1 to suit the dataset: got inf"),
    (
      ["--config.data.std=(0.5,0.5)"],
      "`data.std` must have as many numbers as `data.channels` says: expected 3",
    ),
    (
      ["--config.data.crop_scale=(0.5, 2.0)"],
      r"crop_scale` must be 2 numbers > 0 and <= 1: got \[0.5, 2.0\]",
    ),
    (["--config.data.crop_aspect=(2.0, 1.0)"], "crop_aspect` must be a smallest and a largest"),
    (["--config.data.eval_split=val"], "no split 'val': expected one of t.*, or a part"),
    (["--config.eval.also=('digits',)"], "NAME/SPLIT: got 'digits'"),
    (["--config.eval.also=('digit/test',)"], "unknown dataset 'digit'.* did you mean 'digits'"),
    (["--config.mix.rate=1.0"], r"divisor of 8 \(64 rows on 8 devices\), got 128"),
    (["--config.optimizer.accumulation_steps=3"], "8 devices times 3 accumulation steps: got 64"),
    (["--init=/none"], "must be that of a run: expected a readable /none/config.json"),
    (["--config.data.data_dir=/proc/none"], "/proc/none must be a folder that can be written"),
    (["--workdir=/proc/none"], "must be a folder that can be written"),
    (["--learning_rate=1"], "unknown argument '--learning_rate=1': expected --config.KEY=VALUE"),
  ],
)
def test_wrong_settings_are_one_clear_line(extra, message, tmp_path, data_dir, capfd):
  arguments = [*train_arguments(tmp_path / "w", data_dir), *extra]
  status, captured = run_main(capfd, *arguments)
  assert status == 2
  lines = [x for x in captured.err.strip().splitlines() if x != "preparing digits ..."]
  assert len(lines) == 1
  assert lines[0].startswith("hornet: error: ")
  assert re.search(message, lines[0]), lines[0]
  assert not (tmp_path / "w").exists()


def test_workdir_of_another_config_names_the_keys(run, data_dir, capfd):
  overrides = {"optimizer.b2": 0.99, "data.crop_padding": 1}
  status, captured = run_main(capfd, *train_arguments(run[0], data_dir, **overrides))
  assert status == 2
  assert "data.crop_padding was 2 and is 1; optimizer.b2 was 0.999 and is 0.99." in captured.err


def test_missing_and_unreadable_files(run, tmp_path, capfd):
  status, captured = run_main(capfd, "evaluate", f"--workdir={tmp_path}/none")
  assert status == 2
  assert "must be that of a run" in captured.err
  broken = tmp_path / "broken.png"
  broken.write_bytes(b"\x89PNG no image")
  for path, reason in ((broken, "no image format"), (tmp_path / "none.png", "No such file")):
    status, captured = run_main(capfd, "predict", str(path), f"--workdir={run[0]}")
    assert status == 2
    assert re.search(rf"image '{path}' cannot be read: .*{reason}", captured.err)


def test_unknown_command_and_exit_status_of_the_process():
  process = start(["info", "hornet_tinny"])
  output = process.communicate()[0]
  assert process.returncode == 2
  assert output.startswith("hornet: error: unknown variant 'hornet_tinny'")
  assert output.count("\n") == 1


def test_evaluating_on_a_set_that_is_named(run, data_dir, tmp_path, capfd, monkeypatch):
  """A run and its file give the same numbers there, and tables that add up to them.

  The run's own folder of datasets is looked in without being told.
  """
  monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "other"))
  file, tables = tmp_path / "model.safetensors", tmp_path / "tables"
  assert run_main(capfd, "export", f"--workdir={run[0]}", f"--out={file}")[0] == 0
  found = []
  for place, told in ((run[0], []), (file, [f"--data_dir={data_dir}"])):
    status, captured = run_main(
      capfd,
      "evaluate",
      *(f"--workdir={place}", "--data=digits/test[:50]", *told),
      *("--batch_size=4096", f"--tables={tables}", "--json"),
    )
    assert status == 0, captured.err
    found.append(json.loads(captured.out))
  assert found[0]["ema"] == pytest.approx(found[1]["ema"])
  everything = json.loads((tables / "evaluation.json").read_text())
  assert everything["images"] == 50
  right = sum(row[row["true"]] for row in everything["confusion"])
  assert right / 50 == pytest.approx(found[0]["ema"]["top1"])
  assert sum(row["images"] for row in everything["classes"]) == 50
  assert (tables / "confusion.csv").read_text().splitlines()[0] == "true,0,1,2,3,4,5,6,7,8,9"
  assert (tables / "classes.csv").exists()

  status, captured = run_main(capfd, "evaluate", f"--workdir={file}")
  assert (status, "--data must say on which images" in captured.err) == (2, True)
  status, captured = run_main(capfd, "evaluate", f"--workdir={run[0]}", "--batch_size=8")
  assert (status, "--batch_size must come with --suite" in captured.err) == (2, True)
