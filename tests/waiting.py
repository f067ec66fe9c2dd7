"""Waiting for what another process or thread does."""

import pathlib
import time


def wait_for(condition, *processes, seconds=120):
  """What `condition` gives, once that is true: fails where it never is.

  It also fails where one of `processes`, that are to bring it about, has ended.
  """
  deadline = time.monotonic() + seconds
  while not (found := condition()):
    for process in processes:
      assert process.poll() is None, (process.returncode, process.communicate())
    assert time.monotonic() < deadline, "it never came"
    time.sleep(0.005)
  return found


def process_group(path):
  """Of a process in /proc that has not ended."""
  try:
    state, _, group, *_ = (path / "stat").read_text().rpartition(")")[2].split()
  except OSError:
    return None
  return None if state == "Z" else int(group)


def assert_nobody_is_left(group):
  """Waits until every process of a group has ended."""
  processes = pathlib.Path("/proc")
  wait_for(
    lambda: not any(process_group(path) == group for path in processes.glob("[0-9]*")), seconds=30
  )
