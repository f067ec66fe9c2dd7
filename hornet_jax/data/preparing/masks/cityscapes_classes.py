"""The classes of Cityscapes: its 34 numbers, of which 19 are learned and evaluated.

Source: cityscapesScripts, `helpers/labels.py` (`id`, `trainId` and `name` of each label).
"""

from hornet_jax.data.preparing.masks.class_table import ClassTable
from hornet_jax.data.views.masks import IGNORED

_TRAINED = {
  "road": 7,
  "sidewalk": 8,
  "building": 11,
  "wall": 12,
  "fence": 13,
  "pole": 17,
  "traffic light": 19,
  "traffic sign": 20,
  "vegetation": 21,
  "terrain": 22,
  "sky": 23,
  "person": 24,
  "rider": 25,
  "car": 26,
  "truck": 27,
  "bus": 28,
  "train": 31,
  "motorcycle": 32,
  "bicycle": 33,
}
_NUM_IDS = 34
_NAMES = list(_TRAINED)

LABEL_IDS = ClassTable(
  _NAMES,
  dict.fromkeys(range(_NUM_IDS), IGNORED)
  | {number: label for label, number in enumerate(_TRAINED.values())},
)
"""What the values of `*_labelIds.png` are."""

TRAIN_IDS = ClassTable(_NAMES, {label: label for label in range(len(_NAMES))} | {255: IGNORED})
"""What the values of `*_labelTrainIds.png` are."""
