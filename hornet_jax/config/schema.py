"""The keys of all sections make the schema of a run's config.

The defaults are the paper's recipe where it has a value, and small-machine values elsewhere.
`hornet train --help_config` prints the table.
"""

from hornet_jax.config.key import Key
from hornet_jax.config.keys.classification import CLASSIFICATION
from hornet_jax.config.keys.data import DATA
from hornet_jax.config.keys.detection import DETECTION
from hornet_jax.config.keys.model import MODEL
from hornet_jax.config.keys.optimizer import OPTIMIZER
from hornet_jax.config.keys.records import RECORDS
from hornet_jax.config.keys.run import RUN, VERSION
from hornet_jax.config.keys.segmentation import SEGMENTATION

_OF_TASKS: dict[str, dict[str, Key]] = {
  "classification": CLASSIFICATION,
  "segmentation": SEGMENTATION,
  "detection": DETECTION,
}
_UNREAD = {"detection": {"data.image_size"}}  # it has canvases
SCHEMA: dict[str, Key] = {
  **RUN,
  **MODEL,
  **DATA,
  **OPTIMIZER,
  **{name: key for of_task in _OF_TASKS.values() for name, key in of_task.items()},
  **RECORDS,
}


def keys_read(task: str) -> dict[str, Key]:
  """Gives the keys without those that a task does not read, as other tasks alone do.

  Args:
    task: name of a task. One of a user's own may read what classification does.
  """
  own = {task} if task in _OF_TASKS else {task, "classification"}
  others = {name for of, keys in _OF_TASKS.items() if of not in own for name in keys}
  unread = others | _UNREAD.get(task, set())
  return {name: key for name, key in SCHEMA.items() if name not in unread}


__all__ = ["SCHEMA", "VERSION", "keys_read"]
