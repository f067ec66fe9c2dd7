"""The keys of all sections make the schema of a run's config.

The defaults are the paper's recipe where it has a value, and small-machine values elsewhere.
`hornet train --help_config` prints the table.
"""

from hornet_jax.config.key import Key
from hornet_jax.config.keys.data import DATA
from hornet_jax.config.keys.detection import DETECTION
from hornet_jax.config.keys.model import MODEL
from hornet_jax.config.keys.optimizer import OPTIMIZER
from hornet_jax.config.keys.records import RECORDS
from hornet_jax.config.keys.run import RUN, VERSION
from hornet_jax.config.keys.segmentation import SEGMENTATION

SCHEMA: dict[str, Key] = {
  **RUN,
  **MODEL,
  **DATA,
  **OPTIMIZER,
  **SEGMENTATION,
  **DETECTION,
  **RECORDS,
}

__all__ = ["SCHEMA", "VERSION"]
