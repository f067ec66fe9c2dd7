"""A config on TPUs: does it fit, what is sent, what does it cost."""

import copy
import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from hornet_jax.cost.ahead_of_time import (
  Compiled,
  Lowered,
  Progress,
  Request,
  compile_program,
)
from hornet_jax.cost.chips import Topology
from hornet_jax.cost.estimate import FOURIER_PASSES, Range, Step, estimate_step, mfu
from hornet_jax.cost.work import forward_work, training_work
from hornet_jax.errors import InputError
from hornet_jax.train.model import build_model

_ELEMENT_BYTES = {"float32": 4, "bfloat16": 2}


@dataclasses.dataclass(frozen=True)
class Scenario:
  """A config, fitted to devices.

  Attributes:
    config: nested, with the keys of configs/common.py.
    topology: the devices.
    notes: what had to be changed, one line each.
  """

  config: Mapping[str, Any]
  topology: Topology
  notes: tuple[str, ...] = ()

  @property
  def images(self) -> int:
    """Of a step, on each chip."""
    return self.config["data"]["batch_size"] // self.topology.num_chips

  @property
  def mesh(self) -> tuple[int, int]:
    """Sizes of the axes `data` and `fsdp`."""
    fsdp = self.config["mesh"]["fsdp"]
    return self.topology.num_chips // fsdp, fsdp


@dataclasses.dataclass(frozen=True)
class Limits:
  """Of the compiler.

  Attributes:
    time_limit: seconds for each program.
    cache: folder of results.
    full: whether it finishes.
    lower_only: whether it does not start.
  """

  time_limit: float
  cache: pathlib.Path
  full: bool = False
  lower_only: bool = False


@dataclasses.dataclass(frozen=True)
class Plan:
  """What is known of a scenario.

  Attributes:
    scenario: the config and its devices.
    lowered: arithmetic.
    compiled: the compiler's part; None if it was not asked.
    step: times; None unless it is known what is sent.
    mfu: likewise.
  """

  scenario: Scenario
  lowered: Lowered
  compiled: Compiled | None
  step: Step | None
  mfu: Range | None

  @property
  def limit(self) -> int:
    """Bytes that a chip has."""
    return round(self.scenario.topology.chip.hbm_gib * 2**30)

  @property
  def peak(self) -> int | None:
    """Bytes that a chip needs; where the compiler gave up, what it wanted and the arguments."""
    if self.compiled is None:
      return None
    if self.compiled.memory is not None:
      return self.compiled.memory.total
    assert self.compiled.needs is not None
    return self.compiled.needs + self.lowered.state + self.lowered.batch

  @property
  def fits(self) -> bool | None:
    """Whether a chip has the memory."""
    return None if self.peak is None else self.peak <= self.limit

  @property
  def state_layout(self) -> int | None:
    """Bytes of the state as the compiler lays it out."""
    if self.compiled is None or self.compiled.memory is None:
      return None
    return self.compiled.memory.arguments - self.compiled.memory.images

  @property
  def proportional_batch(self) -> int | None:
    """Images a chip that the memory has room for, if all but the state grew with them.

    Above the planned batch that is a safe figure: part of the rest does not grow. Below it is
    a guess.
    """
    if self.peak is None:
      return None
    images = self.scenario.images
    return int(images * (self.limit - self.lowered.state) / (self.peak - self.lowered.state))

  @property
  def wire_bytes(self) -> float | None:
    """What each chip sends in a step."""
    if self.compiled is None or self.compiled.collectives is None:
      return None
    return sum((c.wire_bytes for c in self.compiled.collectives), 0.0)

  @property
  def images_per_second(self) -> Range | None:
    """Of all chips."""
    batch_size = self.scenario.config["data"]["batch_size"]
    return None if self.step is None else self.step.seconds.per(batch_size)

  @property
  def chip_hours(self) -> Range | None:
    """Of the whole run, without evaluation, checkpoints and waiting."""
    if self.step is None:
      return None
    chips = self.scenario.topology.num_chips
    return self.step.seconds.times(self.lowered.total_steps * chips / 3600)


def make_scenario(
  config: Mapping[str, Any],
  topology: Topology,
  *,
  images: int | None = None,
  fsdp: int | None = None,
  remat: str | None = None,
) -> Scenario:
  """Fits a config to devices.

  Args:
    config: nested, with the keys of configs/common.py.
    topology: the devices.
    images: of a step, on each chip; None for the config's batch.
    fsdp: size of that axis of the mesh; None for the config's.
    remat: None for the config's.

  Raises:
    InputError: if the batch cannot be dealt out to the chips.
  """
  changed = copy.deepcopy(dict(config))
  notes = []
  chips = topology.num_chips
  if images is not None:
    changed["data"]["batch_size"] = images * chips
  if fsdp is not None:
    changed["mesh"]["fsdp"] = fsdp
  if remat is not None:
    changed["model"]["remat"] = remat
  rows, rest = divmod(
    changed["data"]["batch_size"], chips * changed["optimizer"]["accumulation_steps"]
  )
  if rest or rows < 1:
    raise InputError(
      f"`data.batch_size` must be a multiple of the {chips} chips: got "
      f"{changed['data']['batch_size']}. Hint: --batch takes the images of one chip."
    )
  mix = changed["mix"]
  mixes = mix["rate"] > 0 and (mix["mixup_alpha"] > 0 or mix["cutmix_alpha"] > 0)
  if mixes and rows % mix["group_size"]:
    size = max((n for n in range(2, mix["group_size"] + 1, 2) if rows % n == 0), default=0)
    if not size:
      raise InputError(
        f"`batch` must be even where images are mixed: expected whole groups, got {rows} a chip."
      )
    notes.append(
      f"mix.group_size {mix['group_size']} does not divide {rows} images: planned with {size}, "
      "another augmentation"
    )
    mix["group_size"] = size
  return Scenario(changed, topology, tuple(notes))


def make_plan(
  scenario: Scenario, num_classes: int, num_examples: int, limits: Limits, progress: Progress
) -> Plan:
  """Compiles as far as asked, and estimates.

  Raises:
    InputError: if the config does not suit the devices, the compiler is missing or too slow.
  """
  config, topology = scenario.config, scenario.topology
  request = Request(config, topology, num_classes, num_examples, limits.full, limits.lower_only)
  lowered, compiled = compile_program(request, limits.time_limit, limits.cache, progress)
  plan = Plan(scenario, lowered, compiled, None, None)
  if compiled is None or plan.wire_bytes is None:
    return plan
  image_size = config["data"]["image_size"]
  model = build_model(config["model"], image_size, num_classes)
  step = estimate_step(
    topology,
    training_work(model, image_size),
    scenario.images,
    fourier_passes=FOURIER_PASSES[config["model"]["global_filter"]],
    element_bytes=_ELEMENT_BYTES[config["model"]["dtype"]],
    state_bytes=lowered.state,
    gradient_bytes=lowered.params,
    wire_bytes=plan.wire_bytes,
    cycles=compiled.cycles,
  )
  utilisation = mfu(topology, forward_work(model, image_size), scenario.images, step.seconds)
  return dataclasses.replace(plan, step=step, mfu=utilisation)
