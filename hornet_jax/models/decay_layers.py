"""Each family has a rule that numbers its layers for layer decay, where earlier ones learn slower.

A rule maps the path of a parameter to the number of its layer, from 0, and the number of layers.
"""

import re
from collections.abc import Sequence

_STAGES = 4
_GROUPED = {
  **{"stem": 0, "stage_0": 1, "downsample_1": 2, "stage_1": 2, "downsample_2": 3},
  **{"downsample_3": 12, "stage_3": 12, "norm": 13, "head": 13},
}


def grouped_layers(
  path: str, depths: Sequence[int], blocks_per_layer: int
) -> tuple[int, int] | None:
  """Numbers the layers of four stages: twelve and the head, several blocks of the third a layer.

  Source: official ConvNeXt and HorNet, optim_factory.py, `get_num_layer_for_convnext`.

  Args:
    path: path of a parameter of a `Hierarchical`.
    depths: number of blocks of each stage; None is returned unless there are four.
    blocks_per_layer: number of blocks of the third stage that share a layer.
  """
  if len(depths) != _STAGES:
    return None
  part, _, rest = path.partition("/")
  if part == "stage_2":
    return min(3 + _number(rest) // blocks_per_layer, 11), 14
  return _GROUPED[part], 14


def block_layers(path: str, depths: Sequence[int]) -> tuple[int, int]:
  """Numbers the layers of any stages: one a block, one before all of them and one behind.

  A downsampling is of the layer of the block before it.

  Source: official BEiT, optim_factory.py, `get_num_layer_for_vit`; official Swin Transformer,
  optimizer.py, `get_swin_layer`.

  Args:
    path: path of a parameter of a `Hierarchical`.
    depths: number of blocks of each stage.
  """
  part, _, rest = path.partition("/")
  count = sum(depths) + 2
  kind, _, stage = part.partition("_")
  if kind == "stage":
    return sum(depths[: int(stage)]) + _number(rest) + 1, count
  if kind == "downsample":
    return sum(depths[: int(stage)]), count
  return (count - 1 if part in ("norm", "head") else 0), count


def stage_of(part: str) -> int | None:
  """Gives the stage of a part of a `Hierarchical`, such as `"stage_2"`, see `ParamInfo.stage`."""
  if match := re.fullmatch(r"stage_(\d+)", part):
    return int(match[1]) + 1
  return 0 if re.fullmatch(r"stem|tokens|downsample_\d+", part) else None


def _number(rest: str) -> int:
  return int(rest.partition("/")[0].removeprefix("block_"))
