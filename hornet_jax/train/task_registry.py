"""Tasks have names, by which configs choose them."""

from hornet_jax.errors import InputError, unknown_name
from hornet_jax.train.task import Task

_TASKS: dict[str, type[Task]] = {}


def register(name: str, task: type[Task]) -> None:
  """Gives a task a name, by which configs choose it.

  Args:
    name: value of the key `task` of a config.
    task: the class; it may take its own name again, as a cell of a notebook that runs twice.

  Raises:
    InputError: if another task has the name.
  """
  known = _TASKS.get(name)
  if known is not None and known.__qualname__ != task.__qualname__:
    raise InputError(
      f"`name` must be free: expected a name that no task has, got {name!r} of {known.__name__}."
    )
  _TASKS[name] = task


def get_task(name: str) -> type[Task]:
  """Finds a task by its name.

  Raises:
    InputError: if there is none; the names are listed.
  """
  if name not in _TASKS:
    raise unknown_name("task", name, _TASKS)
  return _TASKS[name]


def is_task(name: str) -> bool:
  """Tells whether a task has a name."""
  return name in _TASKS
