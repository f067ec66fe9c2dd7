"""Several processes: equal to one, stopped together, and explained where one is missing."""

import contextlib
import itertools
import json
import re
import signal

import jax
import numpy as np
import pytest
from compiling import QUICK_FLAGS
from processes import CONFIG, DEAD_PROXY, SMALL, STEPS, overrides, start

from hornet_jax.cli import config as config_flag
from hornet_jax.exit_status import AGAIN, PERSON
from hornet_jax.train.set_up import set_up

pytestmark = pytest.mark.usefixtures("nobody_is_left")


def finish(processes, timeout=300):
  """(exit status, output) of each."""
  outputs = [process.communicate(timeout=timeout)[0] for process in processes]
  return [(p.returncode, o) for p, o in zip(processes, outputs, strict=True)]


# Together equal to one.


@pytest.mark.slow
def test_two_processes_equal_one_device(tmp_path, data_dir):
  bfloat16 = {"model.dtype": "bfloat16"}
  # Name of the case on one device, whether it is evaluated, settings. Parameters that are not cut
  # are those of tests/test_all_tasks.py.
  cases = [
    ("7x7", True, {"mesh.fsdp": 2}),
    ("gf", True, {"mesh.fsdp": 2}),
    ("gf bfloat16", False, {"mesh.fsdp": 2, **bfloat16}),
  ]
  single = {"7x7": (True, {}), "gf": (True, {}), "gf bfloat16": (False, bfloat16)}

  def settings(name, evaluated, own):
    variant = f"nano_{name.partition(' ')[0]}"
    return {
      "config": f"configs/digits.py:variant={variant},runlocal",
      "overrides": overrides({**SMALL, "data.data_dir": data_dir, **own}),
      "evaluated": evaluated,
    }

  one = [settings(name, *case) for name, case in single.items()]
  two = [settings(*case) for case in cases]
  script = ["tests/processes.py", "losses"]
  processes = start([*script, str(tmp_path / "one"), json.dumps(one)], devices=1)
  for status, output in finish(processes, timeout=600):
    assert status == 0, output
  processes = start([*script, str(tmp_path / "two"), json.dumps(two)], count=2)
  for status, output in finish(processes, timeout=600):
    assert status == 0, output
  expected = dict(zip(single, json.loads((tmp_path / "one").read_text()), strict=True))
  got = json.loads((tmp_path / "two").read_text())
  for (name, evaluated, own), result in zip(cases, got, strict=True):
    same = expected[name]
    assert (same["processes"], result["processes"]) == (1, 2)
    assert result["cut"] > 0
    assert result["examples"] == same["examples"]
    assert len(set(result["losses"])) == STEPS
    rtol = 1e-2 if "bfloat16" in name else 1e-5
    np.testing.assert_allclose(result["losses"], same["losses"], rtol=rtol, err_msg=f"{name} {own}")
    if evaluated:
      assert result["evaluated"] == list(range(360))
      assert result["metrics"]["loss"] == pytest.approx(same["metrics"]["loss"], rel=1e-5)


# Stopped together.


def read_ledger(folder, name, steps=None):
  """The examples of each step, or of the first ones, of a run, of all processes together."""
  processes = [
    [json.loads(line) for line in path.read_text().splitlines()[:steps]]
    for path in folder.glob(f"{name}.*")
  ]
  return [sorted(itertools.chain(*rows)) for rows in zip(*processes, strict=True)]


@pytest.fixture
def undisturbed(data_dir):
  """The examples of each of some steps, of a run that nothing disturbs."""

  def read(settings, steps):
    config = config_flag.load(CONFIG, overrides({**settings, "data.num_processes": 0}))
    _, inputs = set_up(config, jax.devices()[:1])
    with contextlib.closing(inputs.train_batches(0)) as batches:
      return [sorted(next(batches)["index"].tolist()) for _ in range(steps)]

  return read


GONE = r"^hornet: error: process {} on \S+ is gone: .*from the last checkpoint$"


def assert_survived(output, status, victim):
  """One line and a status by which a launcher starts the command again."""
  assert status == AGAIN, output
  assert re.search(GONE.format(victim), output, re.M), output
  assert "Traceback" not in output
  assert "Check failure" not in output  # of JAX
  assert "terminate called" not in output  # of C++


@pytest.mark.slow
def test_two_processes_train_are_killed_and_go_on(tmp_path, data_dir, undisturbed):
  workdir, cache = tmp_path / "w", tmp_path / "cache"
  settings = {**SMALL, "data.data_dir": data_dir, "epochs": 0.5, "checkpoint.every_steps": 4}

  def run(name, **variables):
    config = CONFIG.replace("nano_gf", "nano_7x7")  # compiles sooner
    arguments = [f"--config={config}", f"--workdir={workdir}", *overrides(settings)]
    script = ["tests/processes.py", "train", str(tmp_path / name), *arguments]
    variables |= {
      # No proxy lies between them, and one that does not answer is none of theirs.
      "http_proxy": DEAD_PROXY,
      "https_proxy": DEAD_PROXY,
      "XLA_FLAGS": QUICK_FLAGS,
    }
    return finish(start(script, 2, cache=cache, variables=variables))

  (status, output), (killed, _) = run("first", KILL_AT="1:7")
  assert killed == -signal.SIGKILL
  assert_survived(output, status, victim=1)
  result = json.loads((workdir / "result.json").read_text())
  assert (result["exit_status"], result["step"]) == (AGAIN, 4)
  assert re.match(r"process 1 on \S+ is gone: ", result["reason"])
  (status, output), (other_status, other_output) = run("second")
  assert (status, other_status) == (0, 0), output + other_output
  assert "going on after step 4 of 11" in output
  assert json.loads((workdir / "result.json").read_text())["complete"]
  expected = undisturbed(settings, 11)
  assert read_ledger(tmp_path, "second") == expected[4:]
  assert read_ledger(tmp_path, "first", 5) == expected[:5]


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_whichever_is_killed_the_other_says_so(tmp_path, data_dir, victim):
  settings = {**SMALL, "data.data_dir": data_dir, "epochs": 0.5, "checkpoint.every_steps": 4}
  arguments = [f"--config={CONFIG}", f"--workdir={tmp_path}/w", *overrides(settings)]
  script = ["tests/processes.py", "train", str(tmp_path / "ledger"), *arguments]
  ends = finish(start(script, 2, devices=1, variables={"KILL_AT": f"{victim}:7"}))
  assert ends[victim][0] == -signal.SIGKILL
  assert_survived(ends[1 - victim][1], ends[1 - victim][0], victim)


@pytest.mark.slow
def test_a_process_that_hangs_counts_as_dead(tmp_path, data_dir):
  settings = {**SMALL, "data.data_dir": data_dir, "epochs": 0.5, "checkpoint.every_steps": 4}
  arguments = [f"--config={CONFIG}", f"--workdir={tmp_path}/w", *overrides(settings)]
  script = ["tests/processes.py", "train", str(tmp_path / "ledger"), *arguments, "--heartbeat=10"]
  (status, output), *_ = finish(start(script, 2, devices=1, variables={"STOP_AT": "1:7"})[:1])
  assert status == AGAIN, output
  assert re.search("^hornet: error: JAX's coordination service at .* 10 s: ", output, re.M), output
  assert "Check failure" not in output


@pytest.mark.slow
@pytest.mark.parametrize(
  ("everywhere", "on_one", "message"),
  [
    (["--config.model.variant=nope"], [], "unknown variant 'nope'"),
    ([], ["--config.seed=7"], "seed is 7 for process 1 on"),
  ],
)
def test_an_input_error_on_several_hosts_is_one_line_on_each(
  tmp_path, data_dir, everywhere, on_one, message
):
  command = ["-m", "hornet_jax", "train", f"--config={CONFIG}", f"--workdir={tmp_path}/w"]
  command += [f"--config.data.data_dir={data_dir}", *everywhere]
  for _ in range(5):  # it was a race
    for status, output in finish(start(command, 2, own={1: on_one})):
      assert status == PERSON, output
      assert len(re.findall("^hornet: error: ", output, re.M)) == 1, output
      assert message in output
      assert "Check failure" not in output
      assert "Traceback" not in output


# Explained where one is missing.


def doctor(tmp_path, data_dir, *more, **settings):
  shrunk = {**SMALL, "data.data_dir": data_dir, **settings}
  return [
    *("-m", "hornet_jax", "doctor", f"--config={CONFIG}", f"--workdir={tmp_path}/w"),
    *overrides(shrunk),
    *more,
  ]


def test_doctor_names_the_process_that_does_not_come(tmp_path, data_dir):
  ((status, output),) = finish(start(doctor(tmp_path, data_dir, "--timeout=3"), 2, only=0))
  assert status == AGAIN
  assert "WRONG hosts: processes must come within 3 s: expected 2, missing 1." in output


def test_doctor_of_two_processes(tmp_path, data_dir):
  (status, output), (other_status, other_output) = finish(start(doctor(tmp_path, data_dir), 2))
  assert (status, other_status) == (0, 0), output + other_output
  for check in ("hosts", "versions", "config", "devices", "data", "workdir", "collective"):
    assert len(re.findall(rf"^ok    process [01] on \S+: {check}: ", output, re.M)) == 2, output
  assert "mesh data 4 x fsdp 1" in output
  assert "32 read in" in output
  assert not list((tmp_path / "w").iterdir())
