"""One process in an environment that is not as it should be: proxies, devices, debugging flags."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from processes import CONFIG, DEAD_PROXY, ROOT, overrides

from hornet_jax.cli import config as config_flag
from hornet_jax.exit_status import PERSON


def in_child(code, **variables):
  """(exit status, output) of Python code in a process of its own."""
  child = subprocess.run(
    [sys.executable, "-c", code],
    check=False,
    cwd=ROOT,
    env={**os.environ, **variables},
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    timeout=120,  # JAX would try for 300 s
  )
  return child.returncode, child.stdout


def test_one_process_goes_past_a_proxy():
  code = (
    "import os; from hornet_jax.parallel.distributed import Hosts, initialize; "
    "print(initialize(Hosts(), print), os.environ['no_grpc_proxy'], os.environ['http_proxy'])"
  )
  proxies = {"http_proxy": DEAD_PROXY, "https_proxy": DEAD_PROXY, "no_proxy": "mine.example"}
  status, output = in_child(code, **proxies)
  assert (status, output) == (0, f"None mine.example,127.0.0.1 {DEAD_PROXY}\n")


@pytest.mark.parametrize("platforms", ["cuda", "cpuu"])
def test_devices_that_are_not_here_are_one_line(tmp_path, data_dir, platforms):
  config = config_flag.load(CONFIG, overrides({"data.data_dir": data_dir}))
  (tmp_path / "config.json").write_text(json.dumps(config))
  new = [f"--config={CONFIG}", f"--config.data.data_dir={data_dir}", f"--workdir={tmp_path}/w"]
  commands = [
    ["doctor", *new],
    ["train", *new],
    ["evaluate", f"--workdir={tmp_path}"],
  ]
  code = f"from hornet_jax.cli.main import main; print([main(c) for c in {commands}])"
  status, output = in_child(code, JAX_PLATFORMS=platforms)
  assert status == 0, output
  line = f"^hornet: error: JAX_PLATFORMS must name devices that are here: got '{platforms}'"
  assert len(re.findall(line, output, re.M)) == 3, output
  assert output.endswith(f"{[PERSON] * 3}\n")
  assert "Traceback" not in output


def test_steps_that_must_not_be_compiled_are_refused():
  code = "from hornet_jax.cli.main import main; print(main(['doctor', '--config=digits']))"
  status, output = in_child(code, JAX_DISABLE_JIT="1")
  assert status == 0, output
  assert output.startswith("hornet: error: JAX_DISABLE_JIT must be unset: ")
  assert output.endswith(f"\n{PERSON}\n")


def test_a_pipe_that_nobody_reads_ends_a_command_quietly():
  reads, writes = os.pipe()
  os.close(reads)
  command = [sys.executable, "-m", "hornet_jax", "info"]
  child = subprocess.run(
    command, cwd=ROOT, stdout=writes, stderr=subprocess.PIPE, text=True, check=False
  )
  os.close(writes)
  assert (child.returncode, child.stderr) == (128 + signal.SIGPIPE, "")
