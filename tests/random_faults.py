"""Random faults on small runs: PYTHONPATH=. python tests/random_faults.py --count=200 --seed=0

A run is killed at a random moment; then, by chance, something in its workdir is damaged. Or its
disk is full, or a second run is started beside it. After that the same command must end complete,
with parameters that are bit-equal to those of a run left in peace, or say in one line what a
person must do. Prints a line a fault; the exit status is 1 where one broke the promise.
"""

import argparse
import collections
import contextlib
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

from damages import DAMAGES, files_of, intact_steps
from etils import epath
from processes import CONFIG, SMALL, overrides

# Imported here, so that a run is a fork: a second instead of six. No backend is up before it.
from hornet_jax.cli import train as _train  # noqa: F401
from hornet_jax.cli.main import main
from hornet_jax.cli.quiet import silence_orbax

SETTINGS = {
  **SMALL,
  "epochs": 1.0,
  "mix.rate": 0.0,
  "checkpoint.every_steps": 5,
  "checkpoint.keep": 3,
  "eval.every_epochs": 1.0,
  "log.every_steps": 2,
  "data.stall_seconds": 120.0,
}
MUST_COMPLETE = ("kill", "second run", "full disk")
TRIES = 4  # starts of the same command, where it ends with 75


class Run:
  """One start of the command, in a process of its own."""

  def __init__(self, folder, data_dir):
    self.workdir = folder / "w"
    self.output = folder / f"output-{time.monotonic_ns()}"
    sys.stdout.flush()
    self.pid = os.fork()
    if self.pid == 0:
      self._be_the_command(data_dir)
    self._status = None

  def _be_the_command(self, data_dir):
    status = 1
    try:
      os.setsid()
      with self.output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
      sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
      sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
      silence_orbax()
      settings = {**SETTINGS, "data.data_dir": data_dir}
      status = main(
        ["train", f"--config={CONFIG}", f"--workdir={self.workdir}", *overrides(settings)]
      )
      if status == 0:
        print("parameters", self._fingerprint())
    except BaseException:
      traceback.print_exc()
    finally:
      sys.stdout.flush()
      os._exit(status)

  def _fingerprint(self):
    from hornet_jax.checkpoints.fingerprint import fingerprint
    from hornet_jax.checkpoints.newest_valid import load_params

    step, params, ema_params = load_params(epath.Path(self.workdir) / "checkpoints")
    return f"{step} {fingerprint(params)} {fingerprint(ema_params)}"

  def kill_after(self, seconds, number=signal.SIGKILL):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and self.poll() is None:
      time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
      os.killpg(self.pid, number)
    return self.wait()

  def poll(self):
    if self._status is None:
      pid, status = os.waitpid(self.pid, os.WNOHANG)
      if pid:
        self._status = os.waitstatus_to_exitcode(status)
    return self._status

  def wait(self, timeout=300):
    deadline = time.monotonic() + timeout
    while self.poll() is None:
      if time.monotonic() > deadline:
        os.killpg(self.pid, signal.SIGKILL)
        raise TimeoutError(f"hangs:\n{self.text()}")
      time.sleep(0.01)
    return self._status

  def text(self):
    return self.output.read_text(errors="replace")


@contextlib.contextmanager
def small_disk(folder, kilobytes):
  """A disk that is full early; it has room after what is yielded was called."""
  options = ["mount", "-t", "tmpfs", "-o"]
  subprocess.run([*options, f"size={kilobytes}k", "tmpfs", str(folder)], check=True)
  try:
    yield lambda: subprocess.run(
      [*options, "remount,size=100m", "tmpfs", str(folder)], check=True, capture_output=True
    )
  finally:
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def can_mount():
  with tempfile.TemporaryDirectory() as folder:
    mount = ["mount", "-t", "tmpfs", "tmpfs", folder]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
      return False
    subprocess.run(["umount", folder], check=True)
    return True


class Breaker:
  """Breaks runs and sees what becomes of them."""

  def __init__(self, data_dir, folder):
    self.data_dir, self.folder = data_dir, folder
    self.kinds = ["kill", "second run", *DAMAGES, *(["full disk"] if can_mount() else [])]
    first, again = (self._peaceful(name) for name in ("first", "again"))
    assert first[1] == again[1], "runs left in peace must end alike"
    self.seconds, self.expected = again

  def _peaceful(self, name):
    folder = self.folder / name
    folder.mkdir()
    begin = time.monotonic()
    run = Run(folder, self.data_dir)
    assert run.wait() == 0, run.text()
    return time.monotonic() - begin, _parameters(run.text())

  def once(self, number, seed):
    """One fault: (kind, what was hit, how it ended, why that is wrong or None)."""
    rng = random.Random(f"{seed} {number}")
    kind = rng.choice(self.kinds)
    folder = self.folder / str(number)
    folder.mkdir()
    hit, outputs = "", []
    must_complete, refused = kind in MUST_COMPLETE, True
    with contextlib.ExitStack() as stack:
      enlarge = None
      if kind == "full disk":
        enlarge = stack.enter_context(small_disk(folder, rng.randrange(300, 3000)))
      run = Run(folder, self.data_dir)
      if kind == "full disk":
        hit = f"status {run.wait()}"
        outputs.append(run.text())
        enlarge()
      elif kind == "second run":
        time.sleep(rng.random() * self.seconds)
        second = Run(folder, self.data_dir)
        statuses = sorted([second.wait(), run.wait()])
        hit = f"statuses {statuses}"
        outputs += [run.text(), second.text()]
        # One may have ended before the other came so far as to ask for the workdir.
        came_later = any("the run is complete" in text for text in outputs)
        refused = statuses == ([0, 0] if came_later else [0, 2])
      else:
        kill = signal.SIGKILL if rng.random() < 0.8 else signal.SIGTERM
        hit = f"{kill.name}, status {run.kill_after(rng.random() * self.seconds, kill)}"
        outputs.append(run.text())
        if kind in DAMAGES:
          damaged = DAMAGES[kind](rng, run.workdir) if files_of(run.workdir) else "nothing"
          hit += f", {damaged}"
          in_checkpoints = "checkpoints" in str(damaged)
          must_complete = damaged == "nothing" or (in_checkpoints and intact_steps(run.workdir))
      for _ in range(TRIES):
        run = Run(folder, self.data_dir)
        status = run.wait()
        outputs.append(run.text())
        if status != 75:
          break
    shutil.rmtree(folder, ignore_errors=True)
    wrong = self._objection(must_complete, status, outputs)
    if not refused:
      wrong = "one of two runs must be refused, and the other complete"
    return kind, hit, status, _last(outputs[-1]), wrong and f"{wrong}\n" + "\n---\n".join(outputs)

  def _objection(self, must_complete, status, outputs):
    """What is wrong with how it ended; None where nothing is."""
    if any("Traceback" in text or "Check failure" in text for text in outputs):
      return "a traceback"
    if status == 0:
      equal = _parameters(outputs[-1]) == self.expected
      return None if equal else "other parameters than those of a run left in peace"
    if must_complete:
      return f"it must complete: status {status}"
    if status != 2 or not re.match(r"hornet: error: .", _last(outputs[-1])):
      return f"status {status} without a line for a person"
    return None


def _parameters(text):
  return re.findall(r"^parameters (.*)$", text, re.M)


def _last(text):
  return (text.splitlines() or [""])[-1]


def run_all(count, seed, data_dir, only=None):
  """How often each kind ended in each way; what went wrong is printed whole."""
  found, wrong_ones = collections.Counter(), []
  with tempfile.TemporaryDirectory(prefix="hornet-faults-") as folder:
    breaker = Breaker(data_dir, pathlib.Path(folder))
    for number in range(count) if only is None else [only]:
      kind, hit, status, last, wrong = breaker.once(number, seed)
      told = "complete" if status == 0 else last
      print(f"{number:4} {kind}: {hit}: {told}".replace(folder, ""), flush=True)
      found[kind, "broken" if wrong else "complete" if status == 0 else "one line"] += 1
      if wrong:
        wrong_ones.append(number)
        print(f"     BROKEN: {wrong}", flush=True)
  return found, wrong_ones


def _main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--count", type=int, default=200)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--only", type=int, help="number of one fault, to see it again")
  parser.add_argument("--data_dir", help="where the digits are prepared (default: there first)")
  args = parser.parse_args()
  with tempfile.TemporaryDirectory() as cache:
    os.environ |= {
      "JAX_PLATFORMS": "cpu",
      "JAX_COMPILATION_CACHE_DIR": cache,
      "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    data_dir = args.data_dir or os.path.join(cache, "data")
    command = ["prepare", "digits", f"--data_dir={data_dir}"]
    subprocess.run([sys.executable, "-m", "hornet_jax", *command], check=True)
    found, wrong = run_all(args.count, args.seed, data_dir, args.only)
  for (kind, ending), times in sorted(found.items()):
    print(f"{kind}: {ending} {times}")
  if wrong:
    print(f"broken: --seed={args.seed}, --only=" + ", ".join(map(str, wrong)))
  return 1 if wrong else 0


if __name__ == "__main__":
  sys.exit(_main())
