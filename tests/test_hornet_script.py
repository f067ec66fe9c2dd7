"""./hornet makes .venv once, whoever starts it, from wherever.

A program of our own plays uv: nothing is downloaded.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest
from launching import ROOT, program
from waiting import wait_for

# `uv venv` makes an environment whose Python says what it was started with and which files it
# has open; `uv pip install` ends once the test lets it, as a long download does. For the lock
# where there is no flock(1), `uv run ... python -c CODE FLAG` is the Python of the test.
FAKE_UV = rf"""
case $1 in
  venv)
    folder=${{!#}}
    echo begins >>"$PLAY/log"
    mkdir "$folder/bin"
    printf '#!/bin/sh\necho "ran $*"; ls -l /proc/$$/fd\n' >"$folder/bin/python"
    chmod +x "$folder/bin/python" ;;
  pip)
    until [ -e "$PLAY/go" ]; do sleep 0.05; done
    echo ends >>"$PLAY/log" ;;
  run) exec {sys.executable} -c "${{@: -2:1}}" "${{!#}}" ;;
esac
"""
TOOLS = ["bash", "cat", "chmod", "cksum", "date", "dirname", "ls", "mkdir", "readlink", "rm"]
TOOLS += ["sh", "sleep", "touch", "uname"]


@pytest.fixture(params=["flock", "fcntl"])
def repository(request, tmp_path):
  """A folder with the script and requirements that nobody can have, and how to start it."""
  if not pathlib.Path("/proc/self/fd").exists():
    pytest.skip("open files are read from /proc")
  if request.param == "flock" and not shutil.which("flock"):
    pytest.skip("flock(1) is not installed")
  root = tmp_path / "a clone"
  root.mkdir()
  shutil.copy(ROOT / "hornet", root)
  for name in ("requirements.txt", "constraints.txt"):
    (root / name).write_text("nothing-that-exists==1\n")
  program(tmp_path / "bin", "uv", FAKE_UV)
  for tool in TOOLS + ["flock"] * (request.param == "flock"):
    (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
  # No HOME: accounts of services and some containers have none.
  environment = {"PATH": str(tmp_path / "bin"), "PLAY": str(tmp_path)}

  started = []

  def start(script=root / "hornet"):
    """The script, with its children in a group of their own."""
    started.append(
      subprocess.Popen(
        [str(script), "info"],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
      )
    )
    return started[-1]

  yield tmp_path, start
  for child in started:
    if child.poll() is None:
      os.killpg(child.pid, signal.SIGKILL)
    with child:  # closes its pipes
      pass


def log(folder):
  path = folder / "log"
  return path.read_text().split() if path.exists() else []


def wait_for_installing(folder, count=1):
  wait_for(lambda: log(folder).count("begins") >= count)


def test_two_first_starts_make_one_environment(repository):
  folder, start = repository
  first = start()
  wait_for_installing(folder)
  second = start()
  said = second.stderr.readline()
  assert f"waiting for process {first.pid} on {os.uname().nodename}, since 2" in said
  assert log(folder) == ["begins"]
  (folder / "go").touch()
  for child in (first, second):
    output, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    assert output.startswith("ran -m hornet_jax info\n")
    assert ".venv.lock" not in output  # a run that trains for weeks does not hold the lock
  assert log(folder) == ["begins", "ends"]


def test_a_start_that_was_killed_holds_up_nobody(repository):
  folder, start = repository
  first = start()
  wait_for_installing(folder)
  second = start()
  assert "waiting for" in second.stderr.readline()
  os.killpg(first.pid, signal.SIGKILL)
  wait_for_installing(folder, 2)  # what the first one left is made anew
  (folder / "go").touch()
  output, _ = second.communicate(timeout=60)
  assert (second.returncode, output.partition("\n")[0]) == (0, "ran -m hornet_jax info")
  assert log(folder) == ["begins", "begins", "ends"]


def test_a_link_to_the_script_finds_its_repository(repository):
  folder, start = repository
  (folder / "go").touch()
  (folder / "links").mkdir()
  (folder / "links" / "direct").symlink_to(folder / "a clone" / "hornet")
  (folder / "links" / "relative").symlink_to("../a clone/hornet")
  (folder / "of a link").symlink_to("links/relative")
  for link in ("links/direct", "links/relative", "of a link"):
    child = start(folder / link)
    output, errors = child.communicate(timeout=60)
    assert output.startswith("ran -m hornet_jax info\n"), errors
  assert log(folder) == ["begins", "ends"]
