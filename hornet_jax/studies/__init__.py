"""Studies ask how designs compare: under one recipe, with several seeds, at equal cost."""

from hornet_jax.studies.study import Arm, Study

__all__ = ["Arm", "Study"]
