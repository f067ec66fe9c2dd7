"""A trained model is tested in another way than its run says."""

from collections.abc import Mapping
from typing import Any

from hornet_jax.config.flat import flatten, nest
from hornet_jax.errors import InputError
from hornet_jax.train.task_registry import is_task


def with_test_settings(config: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
  """Puts settings of a test in the place of those of a config.

  Args:
    config: nested, with the keys of `config.schema`.
    settings: values by the dotted names of their keys.

  Raises:
    InputError: if a key is that of another task, which the model of the config does not read.
  """
  for name in settings:
    section, task = name.partition(".")[0], config["task"]
    if section != task and is_task(section):
      raise InputError(
        f"`{name}` must come with a model of task {section}: this one is of task {task}, which "
        "does not read it. Hint: leave it out."
      )
  return nest(flatten(config) | dict(settings))
