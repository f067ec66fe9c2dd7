"""This module checks that all processes were started alike, as others would wait forever."""

from collections.abc import Mapping
from typing import Any

from hornet_jax.errors import InputError
from hornet_jax.parallel.rendezvous import Rendezvous


def assert_same(rendezvous: Rendezvous, what: str, values: Mapping[str, Any]) -> None:
  """Raises `InputError` on all processes if their values differ; names keys and processes.

  Args:
    rendezvous: connections to the others.
    what: name for the values in the message, such as `"versions"`.
    values: values of this process by name, of JSON types.
  """
  first, *others = rendezvous.gather(values)
  differing = []
  for number, other in enumerate(others, 1):
    for key in sorted(first.keys() | other.keys()):
      if first.get(key) != other.get(key):
        differing.append(
          f"{key} is {other.get(key)!r} for {rendezvous.name(number)} and {first.get(key)!r} for "
          "process 0"
        )
  if differing:
    more = f"; and {len(differing) - 5} more" if len(differing) > 5 else ""
    raise InputError(
      f"{what} must be the same on all hosts: {'; '.join(differing[:5])}{more}. Hint: start all of "
      "them with the same command and environment."
    )
