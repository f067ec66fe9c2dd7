"""Several processes: equal to one, stopped together, and explained where one is missing."""

import argparse
import itertools
import json
import os
import re
import signal
import threading
import time

import jax
import numpy as np
import pytest
from processes import CONFIG, SMALL, STARTED, STEPS, free_port, overrides, start

from hornet_jax.cli import config as config_flag
from hornet_jax.cli.doctor import _Doctor
from hornet_jax.errors import InputError
from hornet_jax.train.agreement import check_agreement
from hornet_jax.train.experiment import Experiment
from hornet_jax.train.hosts import Hosts, come_together
from hornet_jax.train.roll_call import call_the_roll


@pytest.fixture(autouse=True)
def nobody_is_left():
  """Ends what a test that failed has started."""
  yield
  for process in STARTED:
    if process.poll() is None:
      os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
  STARTED.clear()


def finish(processes, timeout=300):
  """(exit status, output) of each."""
  outputs = [process.communicate(timeout=timeout)[0] for process in processes]
  return [(p.returncode, o) for p, o in zip(processes, outputs, strict=True)]


# Together equal to one.


@pytest.mark.slow
def test_two_processes_equal_one_device(tmp_path, data_dir):
  bfloat16 = {"model.dtype": "bfloat16"}
  # Name of the case on one device, whether it is evaluated, settings.
  cases = [
    ("7x7", False, {}),
    ("7x7", True, {"mesh.fsdp": 2}),
    ("gf", False, {}),
    ("gf", True, {"mesh.fsdp": 2}),
    ("gf bfloat16", False, {"mesh.fsdp": 2, **bfloat16}),
  ]
  single = {"7x7": (True, {}), "gf": (True, {}), "gf bfloat16": (False, bfloat16)}

  def settings(name, evaluated, own):
    variant = f"nano_{name.partition(' ')[0]}"
    return {"variant": variant, "evaluated": evaluated, "data.data_dir": data_dir, **own}

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
    assert (result["cut"] > 0) == ("mesh.fsdp" in own)
    assert result["examples"] == same["examples"]
    assert len(set(result["losses"])) == STEPS
    rtol = 1e-2 if "bfloat16" in name else 1e-5
    np.testing.assert_allclose(result["losses"], same["losses"], rtol=rtol, err_msg=f"{name} {own}")
    if evaluated:
      assert result["evaluated"] == list(range(360))
      assert result["eval_loss"] == pytest.approx(same["eval_loss"], rel=1e-5)


# Stopped together.


def wait_for_step(processes, workdir, step):
  while not (workdir / "checkpoints" / str(step)).exists():
    for process in processes:
      assert process.poll() is None, process.communicate()[0]
    time.sleep(0.02)


def stopped_at(output):
  (step,) = re.findall(r"stopped after step (\d+) of 110; the same command goes on", output)
  return int(step)


def read_ledger(folder, name):
  """The examples of each step of a run, of all processes together."""
  processes = [
    [json.loads(line) for line in path.read_text().splitlines()]
    for path in folder.glob(f"{name}.*")
  ]
  return [sorted(itertools.chain(*rows)) for rows in zip(*processes, strict=True)]


@pytest.mark.slow
def test_stops_and_other_numbers_of_processes_leave_no_gap_and_no_repeat(tmp_path, data_dir):
  workdir, cache = tmp_path / "w", tmp_path / "cache"
  settings = {**SMALL, "data.data_dir": data_dir, "epochs": 5.0, "checkpoint.every_steps": 4}
  settings["data.num_processes"] = 1

  def run(name, count):
    arguments = [f"--config={CONFIG}", f"--workdir={workdir}", *overrides(settings)]
    script = ["tests/processes.py", "train", str(tmp_path / name), *arguments]
    return start(script, count, devices=4 // count, cache=cache)

  two = run("first", 2)
  wait_for_step(two, workdir, 4)
  two[1].send_signal(signal.SIGTERM)
  (status, output), (other_status, other_output) = finish(two)
  assert (status, other_status) == (0, 0), output + other_output
  first = stopped_at(output)
  assert "stopped" not in other_output  # said once
  assert (workdir / "checkpoints" / str(first)).exists()

  one = run("second", 1)
  wait_for_step(one, workdir, first // 4 * 4 + 8)
  os.killpg(one[0].pid, signal.SIGTERM)  # its reader too
  ((status, output),) = finish(one)
  assert status == 0, output
  assert f"going on after step {first} of 110" in output
  second = stopped_at(output)

  two = run("third", 2)
  wait_for_step(two, workdir, second // 4 * 4 + 8)
  for process in two:
    os.killpg(process.pid, signal.SIGTERM)
  (status, output), (other_status, other_output) = finish(two)
  assert (status, other_status) == (0, 0), output + other_output
  third = stopped_at(output)

  # Every example once, in the order of an undisturbed run.
  runs = [read_ledger(tmp_path, name) for name in ("first", "second", "third")]
  ledger = list(itertools.chain(*runs))
  assert first < second < third == len(ledger)
  config = config_flag.load(CONFIG, overrides({**settings, "data.num_processes": 0}))
  batches = Experiment(config, jax.devices()[:1]).train_batches(0)
  assert ledger == [sorted(next(batches)["index"].tolist()) for _ in range(third)]
  batches.close()

  two = run("fourth", 2)
  wait_for_step(two, workdir, third // 4 * 4 + 8)
  begin = time.monotonic()
  two[1].kill()
  ((status, output),) = finish(two[:1])
  assert status == 1, output
  assert time.monotonic() - begin < 10
  gone = r"^hornet: error: process 1 on \S+ is gone: .*from the last checkpoint$"
  assert re.search(gone, output, re.M), output
  assert "Traceback" not in output
  assert "Check failure" not in output  # of JAX


# Explained where one is missing.


def doctor(tmp_path, data_dir, *more, **settings):
  shrunk = {**SMALL, "data.data_dir": data_dir, **settings}
  return [
    *("-m", "hornet_jax", "doctor", f"--config={CONFIG}", f"--workdir={tmp_path}/w"),
    *overrides(shrunk),
    *more,
  ]


def test_doctor_names_the_process_that_does_not_come(tmp_path, data_dir):
  begin = time.monotonic()
  ((status, output),) = finish(start(doctor(tmp_path, data_dir, "--timeout=3"), 2, only=0))
  assert status == 1
  assert "WRONG hosts: processes must come within 3 s: expected 2, missing 1." in output
  assert time.monotonic() - begin < 60
  ((status, output),) = finish(start(doctor(tmp_path, data_dir, "--timeout=3"), 2, only=1))
  assert status == 1
  assert "process 0 must answer at 127.0.0.1" in output


def test_doctor_of_two_processes(tmp_path, data_dir):
  (status, output), (other_status, other_output) = finish(start(doctor(tmp_path, data_dir), 2))
  assert (status, other_status) == (0, 0), output + other_output
  for check in ("hosts", "versions", "config", "devices", "data", "workdir", "collective"):
    assert len(re.findall(rf"^ok    process [01] on \S+: {check}: ", output, re.M)) == 2, output
  assert "mesh data 4 x fsdp 1" in output
  assert "32 read in" in output
  assert not list((tmp_path / "w").iterdir())


def in_threads(*calls):
  """What each call returned or raised."""
  results = [None] * len(calls)

  def run(number):
    try:
      results[number] = calls[number]()
    except InputError as error:
      results[number] = error

  threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join(30)
  return results


def roll_calls(numbers, count, ends, timeout=10):
  """The processes with these numbers, as threads."""
  address = ("127.0.0.1", free_port())

  def call(number):
    return lambda: call_the_roll(
      address, count, number, timeout=timeout, silence=10, end=ends.append
    )

  return in_threads(*(call(number) for number in numbers))


def test_doctor_goes_on_alike_where_one_process_fails(capsys):
  doctors = [
    _Doctor(argparse.Namespace(timeout=30), roll_call) for roll_call in roll_calls([0, 1], 2, [])
  ]

  def broken_on(number):
    def check(process):
      def local():
        if process == number:
          raise InputError("a disk is gone")
        return process

      return lambda: f"found {doctors[process]._together(local)}"

    return in_threads(*(lambda i=i: doctors[i].report("data", check(i)) for i in (0, 1)))

  for number in (0, 1):
    assert broken_on(number) == [False, False]
    printed = capsys.readouterr().out
    assert re.search(rf"^WRONG process {number} on \S+: data: a disk is gone$", printed, re.M)
    assert f"data: not done, as process {number} could not" in printed
  assert broken_on(None) == [True, True]
  assert "data: found [0, 1]" in capsys.readouterr().out


def test_roll_call_gathers_and_tells_of_failures():
  ends = []
  rolls = roll_calls([0, 1, 2], 3, ends)
  assert in_threads(*(lambda r=r: r.gather(r.process * 10) for r in rolls)) == [[0, 10, 20]] * 3
  found = in_threads(
    *(lambda r=r: check_agreement(r, "configs", {"a": {"b": min(r.process, 1)}}) for r in rolls)
  )
  assert all("a.b is 1 for process 2 on" in str(error) for error in found)
  rolls[2].leave("a reason")
  deadline = time.monotonic() + 20
  while len(ends) < 2 and time.monotonic() < deadline:
    time.sleep(0.1)
  assert len(ends) == 2  # process 0, and process 1 through it
  assert all(re.fullmatch(r"process 2 on \S+ ended: a reason", end) for end in ends)
  rolls[0].leave()
  rolls[1].leave()


def test_roll_call_names_those_that_are_missing_to_all():
  found = roll_calls([0, 2], 4, [], timeout=2)
  assert all("expected 4, missing 1, 3." in str(error) for error in found)


def test_roll_call_refuses_the_same_number_twice():
  found = roll_calls([0, 1, 1], 3, [])
  assert any("--process_id must be another for each" in str(error) for error in found)


@pytest.mark.parametrize(
  ("hosts", "message"),
  [
    (Hosts("a:1", None, 0), "missing --num_processes"),
    (Hosts(None, 2, 0), "missing --coordinator"),
    (Hosts("a:1", 2, 2), "--process_id must be from 0 to 1: got 2"),
    (Hosts("host", 2, 0), "must be HOST:PORT, of process 0: got 'host'"),
  ],
)
def test_wrong_arguments(hosts, message):
  with pytest.raises(InputError, match=message):
    come_together(hosts, pytest.fail)


def test_slurm_tells_all(monkeypatch):
  variables = {"JOB_ID": "7", "STEP_NODELIST": "node[3-4]", "NTASKS": "2", "PROCID": "1"}
  for name, value in {**variables, "LOCALID": "0"}.items():
    monkeypatch.setenv(f"SLURM_{name}", value)
  seen = []

  def call(address, count, number, **how):
    seen.append((address[0], count, number))
    raise InputError("enough")

  monkeypatch.setattr("hornet_jax.train.hosts.call_the_roll", call)
  with pytest.raises(InputError, match="enough"):
    come_together(Hosts(), pytest.fail)
  assert seen == [("node3", 2, 1)]
