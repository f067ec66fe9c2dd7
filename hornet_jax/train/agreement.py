"""Whether all processes were started alike: otherwise they would wait for each other forever."""

from collections.abc import Mapping
from typing import Any

from hornet_jax.errors import InputError
from hornet_jax.train.roll_call import RollCall
from hornet_jax.train.workdir import flatten


def check_agreement(roll_call: RollCall, what: str, values: Mapping[str, Any]) -> None:
  """Raises `InputError` on all processes where they differ; names keys and processes.

  Args:
    roll_call: the connections to the others.
    what: the values are, such as `"versions"`.
    values: of this process, nested, of JSON types.
  """
  first, *others = (flatten(of_process) for of_process in roll_call.gather(values))
  differing = []
  for number, other in enumerate(others, 1):
    for key in sorted(first.keys() | other.keys()):
      if first.get(key) != other.get(key):
        differing.append(
          f"{key} is {other.get(key)!r} for {roll_call.name(number)} and {first.get(key)!r} for "
          "process 0"
        )
  if differing:
    more = f"; and {len(differing) - 5} more" if len(differing) > 5 else ""
    raise InputError(
      f"{what} must be the same on all hosts: {'; '.join(differing[:5])}{more}. Hint: start all of "
      "them with the same command and environment."
    )
