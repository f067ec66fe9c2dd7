"""This module fits the limit of open files to a dataset, whose shards stay open once read.

The threads of a process share one descriptor a shard. Each process that reads has its own, and a
limit of its own, which it inherits.
"""

import resource

from hornet_jax.errors import InputError

_MOST = 1_048_576  # more is asked for nowhere, and some programs count up to the limit
_OTHERS = 256  # of libraries, checkpoints and connections
_PER_READER = 32  # that the process which trains has for each one that reads


def raise_limit() -> None:
  """Raises this process's soft limit of open files as far as its hard limit allows."""
  soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
  wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
  if soft != resource.RLIM_INFINITY and soft < wanted:
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def check_limit(name: str, shards: int, eval_shards: int, num_processes: int) -> str:
  """Compares the shards that one process keeps open with the limit, after `raise_limit`.

  Args:
    name: name of the split that is trained on.
    shards: number of its shards.
    eval_shards: number of shards of all splits that are evaluated on, which are read beside it.
    num_processes: number of processes that read for the one that trains; 0 where it reads itself.

  Returns:
    The finding, in a line.

  Raises:
    InputError: if the limit is too low.
  """
  raise_limit()
  limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
  needed = _OTHERS + eval_shards + shards
  if num_processes:
    needed = _OTHERS + max(eval_shards + num_processes * _PER_READER, shards)
  if limit not in (resource.RLIM_INFINITY, -1) and needed > limit:
    raise InputError(
      f"the limit of open files must be at least {needed:,}: {name} has {shards:,} shards, each of "
      f"which stays open, and the limit is {limit:,}. Hint: raise the hard limit, `ulimit -Hn` or "
      "`docker run --ulimit nofile=65536`, or prepare the dataset in fewer shards."
    )
  return f"{shards:,} shards, {limit:,} files may be open"
