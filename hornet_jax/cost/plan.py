"""A plan tells of a config on TPUs whether it fits, what is sent and what the run costs."""

import copy
import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from hornet_jax.cost.estimate import FOURIER_PASSES, Range, Step, estimate_step, mfu
from hornet_jax.cost.finished import find_scale
from hornet_jax.cost.hardware import CHIPS, Topology
from hornet_jax.cost.model_work import forward_work, training_work
from hornet_jax.cost.xla.compile import (
  Compiled,
  Lowered,
  Progress,
  Request,
  compile_program,
)
from hornet_jax.errors import InputError
from hornet_jax.tasks import get_task
from hornet_jax.tasks.build import build_task
from hornet_jax.train.head_context import head_context

_ELEMENT_BYTES = {"float32": 4, "bfloat16": 2}


@dataclasses.dataclass(frozen=True)
class Scenario:
  """A scenario is a config, fitted to devices.

  Attributes:
    config: nested dictionary with the keys of `config.schema`.
    topology: slice of TPU chips.
    slices: number of such slices.
    notes: changes that the devices forced on the config, one line each.
  """

  config: Mapping[str, Any]
  topology: Topology
  slices: int = 1
  notes: tuple[str, ...] = ()

  @property
  def images(self) -> int:
    """Gives the number of images of a step on each chip."""
    return self.config["data"]["batch_size"] // self.num_chips

  @property
  def image_size(self) -> tuple[int, int]:
    """Gives the height and width of the largest images that are trained on."""
    config = self.config
    height, width, _ = get_task(config["task"]).from_config(config, 1).schema["image"].shape
    return height, width

  @property
  def num_chips(self) -> int:
    """Counts the chips of all slices."""
    return self.topology.num_chips * self.slices

  @property
  def num_devices(self) -> int:
    """Counts the JAX devices of all slices."""
    return self.topology.num_devices * self.slices

  @property
  def mesh(self) -> tuple[int, int]:
    """Gives the sizes of the mesh axes `data` and `fsdp`."""
    fsdp = self.config["mesh"]["fsdp"]
    return self.num_devices // fsdp, fsdp


@dataclasses.dataclass(frozen=True)
class Limits:
  """The limits say how far, and for how long, the compiler may work.

  Attributes:
    time_limit: seconds for each program.
    cache: folder in which results are kept.
    full: whether the compiler finishes, which its estimates of cycles need.
    lower_only: whether the compiler does not start: the program is only lowered.
  """

  time_limit: float
  cache: pathlib.Path
  full: bool = False
  lower_only: bool = False


@dataclasses.dataclass(frozen=True)
class Plan:
  """A plan holds all that is known of a scenario.

  Attributes:
    scenario: config and devices.
    lowered: sizes that are known without the compiler.
    compiled: results of the compiler; None if it was not asked.
    step: estimated times of a step; None unless the compiler's collectives are known.
    mfu: model FLOPs utilisation, a fraction of the peak; None in the same cases.
  """

  scenario: Scenario
  lowered: Lowered
  compiled: Compiled | None
  step: Step | None
  mfu: Range | None

  @property
  def limit(self) -> int:
    """Gives the bytes of memory that a device has: a chip, or a part of one."""
    return round(self.scenario.topology.chip.hbm_gib * 2**30)

  @property
  def peak(self) -> int | None:
    """Gives the bytes of memory that a device needs; None if the compiler was not asked.

    Where the compiler gave up, these are the temporary arrays that it wanted, and the arguments.
    """
    if self.compiled is None:
      return None
    if self.compiled.memory is not None:
      return self.compiled.memory.total
    assert self.compiled.needs is not None
    return self.compiled.needs + self.lowered.state + self.lowered.batch

  @property
  def fits(self) -> bool | None:
    """Tells whether a device has the memory; None if the compiler was not asked."""
    return None if self.peak is None else self.peak <= self.limit

  @property
  def state_layout(self) -> int | None:
    """Gives the bytes of the train state as the compiler lays it out; None where not known."""
    if self.compiled is None or self.compiled.memory is None:
      return None
    return self.compiled.memory.arguments - self.compiled.memory.images

  @property
  def proportional_batch(self) -> int | None:
    """Gives the images a chip that would fill the memory, if all but the state grew with them.

    This is a guess: what a program of another batch needs, only its own compile can tell.
    """
    if self.peak is None:
      return None
    images = self.scenario.images
    return int(images * (self.limit - self.lowered.state) / (self.peak - self.lowered.state))

  @property
  def wire_bytes(self) -> float | None:
    """Gives the bytes that each device sends in a slice in a step; None where not known."""
    if self.compiled is None or self.compiled.collectives is None:
      return None
    return sum((c.wire_bytes for c in self.compiled.collectives), 0.0)

  @property
  def gradient_bytes(self) -> int:
    """Gives the bytes of all gradients, in the type in which those of linear kernels are summed."""
    settings = self.scenario.config["model"]
    kind = "float32" if settings["gradient_sum"] == "float32" else settings["dtype"]
    return self.lowered.num_params * _ELEMENT_BYTES[kind]

  @property
  def between_bytes(self) -> float:
    """Gives the bytes that each chip sends to other slices in a step.

    The sums of gradients of a slice lie in equal parts on its chips, each of which sums its part
    with its like in the other slices, in a ring.
    """
    slices = self.scenario.slices
    part = self.gradient_bytes / self.scenario.topology.num_chips
    return 2 * (1 - 1 / slices) * part

  @property
  def images_per_second(self) -> Range | None:
    """Gives the images a second of all chips together; None without `step`."""
    batch_size = self.scenario.config["data"]["batch_size"]
    return None if self.step is None else self.step.seconds.per(batch_size)

  @property
  def chip_hours(self) -> Range | None:
    """Gives the chip-hours of the whole run, without evaluation, checkpoints and waiting."""
    if self.step is None:
      return None
    chips = self.scenario.num_chips
    return self.step.seconds.times(self.lowered.total_steps * chips / 3600)


def make_scenario(
  config: Mapping[str, Any],
  topology: Topology,
  *,
  images: int | None = None,
  fsdp: int | None = None,
  remat: str | None = None,
  slices: int = 1,
) -> Scenario:
  """Fits a config to devices.

  Args:
    config: nested dictionary with the keys of `config.schema`.
    topology: slice of TPU chips.
    images: images of a step on each chip; None for the config's batch.
    fsdp: size of the mesh axis `fsdp`; None for the config's.
    remat: name of a remat policy; None for the config's.
    slices: number of such slices, with the network of the data centre between them.

  Raises:
    InputError: if the batch cannot be dealt out to the chips, or there are several slices and no
      source states the speed of the network between them.
  """
  changed = copy.deepcopy(dict(config))
  chips = topology.num_chips * slices
  if slices > 1 and topology.chip.dcn_gbps is None:
    known = ", ".join(name for name, chip in CHIPS.items() if chip.dcn_gbps is not None)
    raise InputError(
      f"several slices need a TPU whose share of the data-centre network is stated: expected one "
      f"of {known}, got {topology.generation}."
    )
  if images is not None:
    changed["data"]["batch_size"] = images * chips
  if fsdp is not None:
    changed["mesh"]["fsdp"] = fsdp
  if remat is not None:
    changed["model"]["remat"] = remat
  rows, rest = divmod(
    changed["data"]["batch_size"],
    chips * topology.chip.devices * changed["optimizer"]["accumulation_steps"],
  )
  if rest or rows < 1:
    of_two = f" of {topology.chip.devices} devices each" if topology.chip.devices > 1 else ""
    raise InputError(
      f"`data.batch_size` must be a multiple of the {chips} chips{of_two}: got "
      f"{changed['data']['batch_size']}. Hint: --batch takes the images of one chip."
    )
  fitted, notes = get_task(changed["task"]).fitted_to_rows(changed, rows)
  return Scenario(fitted, topology, slices, notes)


def make_plan(
  scenario: Scenario, num_classes: int, num_examples: int, limits: Limits, progress: Progress
) -> Plan:
  """Compiles a scenario as far as `limits` say, and estimates the time of a step.

  Of several slices, the program of one is compiled, with its part of the batch and of the examples.

  Args:
    scenario: config and devices.
    num_classes: number of classes of the dataset.
    num_examples: number of examples of the training split.
    limits: extent and time of the compilation.
    progress: function that is called about twice a second while it compiles.

  Raises:
    InputError: if the config does not suit the devices, the compiler is missing or too slow.
  """
  config, topology = scenario.config, scenario.topology
  slices = scenario.slices
  part = copy.deepcopy(dict(config))
  part["data"]["batch_size"] //= slices
  request = Request(
    part, topology, num_classes, num_examples // slices, limits.full, limits.lower_only
  )
  lowered, compiled = compile_program(request, limits.time_limit, limits.cache, progress)
  plan = Plan(scenario, lowered, compiled, None, None)
  if compiled is None or plan.wire_bytes is None:
    return plan
  settings = config["model"]
  task, model = build_task(config, num_classes)
  channels = task.schema["image"].shape[-1]
  image_size, context = scenario.image_size, head_context(task)
  # What was compiled to the end were classifiers: a head on feature maps is work of another kind.
  scale = None
  if model.num_classes:
    scale = find_scale(
      settings["variant"],
      topology.generation,
      settings["dtype"],
      settings["global_filter"],
      settings["remat"],
      scenario.images,
    )
  step = estimate_step(
    topology,
    training_work(model, image_size, channels, context),
    scenario.images,
    fourier_passes=FOURIER_PASSES[settings["global_filter"]],
    element_bytes=_ELEMENT_BYTES[settings["dtype"]],
    state_bytes=lowered.state * topology.chip.devices,
    gradient_bytes=lowered.params * topology.chip.devices,
    wire_bytes=plan.wire_bytes * topology.chip.devices,
    between_bytes=plan.between_bytes,
    cycles=compiled.cycles,
    scale=scale,
  )
  forward = forward_work(model, image_size, channels, context)
  utilisation = mfu(topology, forward, scenario.images, step.seconds)
  return dataclasses.replace(plan, step=step, mfu=utilisation)
