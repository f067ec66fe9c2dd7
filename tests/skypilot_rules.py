"""Asks SkyPilot what it makes of a task; runs in SkyPilot's own environment, without its server.

python skypilot_rules.py ARGUMENTS STATUSES...: prints JSON of

  launch: what its command line makes of ARGUMENTS, a JSON list, of `sky jobs launch`
  run: what it would run on each host
  again: for each of STATUSES, JSON lists of the exit statuses of all hosts: is the job started
    again? Ten answers each, as SkyPilot may allow it a number of times
"""

import asyncio
import json
import pathlib
import sys

import sky
import yaml
from sky import backends
from sky.client.cli import command
from sky.jobs import recovery_strategy
from sky.skylet import log_lib

arguments, *statuses = map(json.loads, sys.argv[1:])
launch = command.jobs.commands["launch"].make_context("launch", list(arguments)).params
(path,) = launch["entrypoint"]
config = yaml.safe_load(pathlib.Path(path).read_text())
task = sky.Task.from_yaml_config(config, dict(launch["env"]))  # by its own schema
executor = recovery_strategy.StrategyExecutor.make(
  *("cluster", backends.CloudVmRayBackend(), task, 1, 0, None),
  *(set(), asyncio.Lock(), asyncio.Condition()),
)
again = []
for of_hosts in statuses:
  executor.restart_cnt_on_failure = 0
  again.append([executor.should_restart_on_failure(of_hosts) for _ in range(10)])
# Its messages go to stdout too: the answer is the last line.
print()
print(
  json.dumps(
    {
      "launch": {key: launch[key] for key in ("name", "use_spot", "yes", "detach_run")},
      "run": log_lib.make_task_bash_script(task.run, task.envs),
      "again": again,
    }
  )
)
