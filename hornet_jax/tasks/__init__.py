"""Tasks: what is loaded, learned and measured. Importing this gives each its name."""

from hornet_jax.tasks.classification import Classification
from hornet_jax.tasks.detection import Detection
from hornet_jax.tasks.segmentation import Segmentation
from hornet_jax.train.task_registry import get_task, register

register("classification", Classification)
register("segmentation", Segmentation)
register("detection", Detection)

__all__ = ["Classification", "Detection", "Segmentation", "get_task", "register"]
