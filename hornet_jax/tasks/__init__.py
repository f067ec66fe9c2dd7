"""Tasks: what is loaded, learned and measured. Importing this gives each its name."""

from hornet_jax.tasks.classification import Classification
from hornet_jax.train.task import get_task, register

register("classification", Classification)

__all__ = ["Classification", "get_task", "register"]
