"""The trace of a run holds the steps that were asked for."""

import logging

import jax
import pytest
from etils import epath

from hornet_jax.runs.clock import Clock
from hornet_jax.runs.profile import WARM_UP_STEPS, traced


@pytest.fixture
def run(tmp_path):
  """Does steps, the device being one behind as in the loop; returns those that were done."""

  def loop(steps, num_traced, stop_after=None):
    clock = Clock(epath.Path(tmp_path), steps.start - 1, batch_size=1)
    done = []
    work = jax.jit(lambda x: x @ x)
    generator = traced(steps, num_traced, epath.Path(tmp_path / "profile"), clock)
    for step in generator:
      work(jax.numpy.eye(8)).block_until_ready()
      done.append(step)
      if step == stop_after:
        break
    generator.close()
    return done

  return loop


def traces(tmp_path):
  return list(tmp_path.glob("profile/plugins/profile/*/*.xplane.pb"))


def step_numbers(path):
  """Of the annotations, read with JAX's own reader of traces."""
  found = set()
  for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
    for line in plane.lines:
      for event in line.events:
        found |= {value for name, value in event.stats if name == "step_num"}
  return found


def test_the_steps_after_the_warm_up_are_traced(run, tmp_path, caplog):
  steps = range(101, 121)
  with caplog.at_level(logging.INFO, "hornet_jax"):
    assert run(steps, 3) == list(steps)
  (path,) = traces(tmp_path)
  first = steps.start + WARM_UP_STEPS
  assert step_numbers(path) == set(range(first, first + 4))  # and one for the devices to end
  assert "trace of the steps" in caplog.text


def test_no_trace_unless_asked_for(run, tmp_path):
  assert run(range(1, 21), 0) == list(range(1, 21))
  assert not (tmp_path / "profile").exists()


def test_a_run_that_stops_while_it_traces_keeps_what_there_is(run, tmp_path):
  last = WARM_UP_STEPS + 2
  assert run(range(1, 21), 9, stop_after=last)[-1] == last
  (path,) = traces(tmp_path)
  assert step_numbers(path) == {WARM_UP_STEPS + 1, WARM_UP_STEPS + 2}
  run(range(last + 1, 41), 1)  # the profiler is free again
  assert traces(tmp_path)


def test_too_few_steps_to_trace_are_said(run, tmp_path, caplog):
  assert run(range(8, 10), 5) == [8, 9]
  assert traces(tmp_path) == []
  assert "no step was traced: 2 are left, the first 5 never are" in caplog.text


@pytest.mark.parametrize("fault", ["start", "write"])
def test_a_trace_that_fails_ends_no_run(run, tmp_path, caplog, monkeypatch, fault):
  def fails(*arguments):
    raise OSError(28, "No space left on device")

  if fault == "start":
    monkeypatch.setattr(jax.profiler, "start_trace", fails)
  else:
    monkeypatch.setattr("hornet_jax.runs.profile.write_file", fails)
  steps = range(1, 21)
  assert run(steps, 3) == list(steps)
  (line,) = [line for line in caplog.messages if "trace" in line]
  assert line == "The run goes on without a trace: [Errno 28] No space left on device"
  monkeypatch.undo()
  run(range(21, 41), 1)  # the profiler is free again
  assert traces(tmp_path)
