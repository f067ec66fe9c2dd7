"""Which run, and which step of it, a run began with: `branch.json` in its workdir."""

import json
from typing import NamedTuple

from etils import epath

from hornet_jax.files import exists, read_file, write_file

NAME = "branch.json"


class BranchRecord(NamedTuple):
  """A `BranchRecord` tells where a run branched off.

  Attributes:
    trunk: absolute path of the workdir of the run whose first steps it shares.
    step: number of steps that it shares.
  """

  trunk: str
  step: int


def write_branch_record(workdir: epath.Path, record: BranchRecord) -> None:
  """Writes down where the run of a workdir branched off."""
  write_file(workdir / NAME, json.dumps(record._asdict()) + "\n")


def read_branch_record(workdir: epath.Path) -> BranchRecord | None:
  """Reads where the run of a workdir branched off; None where it began at the start."""
  path = workdir / NAME
  if not exists(path):
    return None
  content = json.loads(read_file(path))
  return BranchRecord(content["trunk"], content["step"])
