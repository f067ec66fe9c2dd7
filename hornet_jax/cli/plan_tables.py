"""This module writes what `plan` prints of one plan."""

import math
from collections.abc import Mapping

from tabulate import tabulate

from hornet_jax.cost.estimate import COUNTED, UNKNOWN, Range, methods
from hornet_jax.cost.largest_batch import Largest
from hornet_jax.cost.plan import Plan, Scenario
from hornet_jax.cost.xla.collectives import totals
from hornet_jax.wording import counted

GIB = 2**30
UNKNOWN_END = "not known"


def title(scenario: Scenario) -> str:
  """Names what is planned, in one line."""
  model, (height, width) = scenario.config["model"], scenario.image_size
  dtype, size = model["dtype"], height if height == width else f"{height}x{width}"
  rolled = "" if model["scan"] else ", no scan"
  slices = f"{scenario.slices} slices of " if scenario.slices > 1 else ""
  return (
    f"{model['variant']} on {slices}{scenario.topology.name}, mesh {mesh_name(scenario)}, "
    f"{counted(scenario.images, 'image')} of {size} a chip, {dtype}, remat {model['remat']}{rolled}"
  )


def memory_line(plan: Plan) -> str:
  """Tells, in one line, the batch and the memory that it takes; the plan must be compiled."""
  assert plan.peak is not None
  remat = plan.scenario.config["model"]["remat"]
  return (
    f"{counted(plan.scenario.images, 'image')} a chip, remat {remat}: {plan.peak / GIB:.2f} of "
    f"{plan.limit / GIB:.2f} GiB"
  )


def largest(found: Largest) -> str:
  """Tells, in one line, which batch fits and which larger one does not, both compiled."""
  if found.fitting is None:
    return "no batch was found that fits"
  line = f"largest batch found to fit: {memory_line(found.fitting)}"
  if found.exceeding is None or found.exceeding.peak is None:
    return f"{line}; no larger one that does not fit was compiled"
  more = f"{found.exceeding.scenario.images} do not fit ({found.exceeding.peak / GIB:.2f} GiB)"
  return f"{line}; {more}" if found.is_next else f"{line}; {more}, between them nothing is known"


def larger_guess(plan: Plan) -> str:
  """Tells, in one line, that no larger batch was compiled, and where a search would start."""
  return (
    "largest batch: not compiled; --largest compiles larger ones, from a guess of "
    f"{plan.proportional_batch} images a chip, until the next does not fit"
  )


def report(plan: Plan, prices: Mapping[str, float]) -> str:
  """Writes all that is known of one plan.

  Args:
    plan: plan of one scenario.
    prices: price of a chip-hour by TPU generation; empty to tell chip-hours alone.
  """
  scenario, lowered = plan.scenario, plan.lowered
  parts = [title(scenario), *(f"note: {note}" for note in scenario.notes)]
  parts += ["", _memory(plan)]
  if plan.compiled is None:
    batch = counted(scenario.config["data"]["batch_size"], "image")
    steps = f"{counted(lowered.total_steps, 'step')} of {batch}"
    return "\n".join([*parts, "", steps, "Arithmetic alone: the compiler was not asked."])
  if plan.step is None:
    return "\n".join(parts)
  parts += ["", _collectives(plan), "", _times(plan, prices), ""]
  if scenario.slices > 1:
    parts += [between_slices(plan)]
  parts += [methods({basis(plan)})]
  parts += [f"The compiler took {plan.compiled.seconds:.0f} s, lowering included."]
  return "\n".join(parts)


def _memory(plan: Plan) -> str:
  lowered = plan.lowered
  rows = [
    ("parameters", lowered.params),
    ("averaged parameters", lowered.averages),
    ("optimiser", lowered.optimizer),
    ("batch", lowered.batch),
  ]
  if plan.peak is not None:
    known = lowered.state + lowered.batch
    rows += [("activations, gradients, copies, padding", plan.peak - known), ("peak", plan.peak)]
  devices = plan.scenario.topology.chip.devices
  whose = "a chip" if devices == 1 else f"a device, {devices} of which are a chip"
  lines = [
    tabulate(
      [[name, f"{size / GIB:.3f}"] for name, size in rows],
      headers=[f"memory of {whose}", "GiB"],
      disable_numparse=True,
      colalign=("left", "right"),
    )
  ]
  if plan.peak is None:
    return lines[0]
  verdict = "fits" if plan.fits else "DOES NOT FIT"
  lines.append(f"{verdict}: {plan.peak / GIB:.2f} of {plan.limit / GIB:.2f} GiB")
  if plan.state_layout is not None:
    more = 100 * (plan.state_layout / lowered.state - 1)
    lines.append(
      f"state as the compiler lays it out: {plan.state_layout / GIB:.3f} GiB, "
      f"{more:+.1f} % of arithmetic"
    )
  return "\n".join(lines)


def _collectives(plan: Plan) -> str:
  assert plan.compiled is not None
  assert plan.compiled.collectives is not None
  rows = [
    [kind, f"{total.count:,}", f"{total.wire_bytes / 1e6:.1f}"]
    for kind, total in totals(plan.compiled.collectives).items()
  ]
  rows.append(["all", f"{sum(c.times for c in plan.compiled.collectives):,}"])
  rows[-1].append(f"{(plan.wire_bytes or 0) / 1e6:.1f}")
  sender = "chip" if plan.scenario.topology.chip.devices == 1 else "device"
  headers = ["collectives of a step", "count", f"MB that a {sender} sends"]
  return tabulate(rows, headers=headers, disable_numparse=True, colalign=("left", *["right"] * 2))


def _times(plan: Plan, prices: Mapping[str, float]) -> str:
  """Writes what a chip does in a step, and step and run at both ends of the estimate."""
  step, chips = plan.step, plan.scenario.num_chips
  assert step is not None
  assert plan.mfu is not None
  assert plan.images_per_second is not None
  assert plan.chip_hours is not None
  counts = [
    ["FLOPs", f"{step.flops / 1e12:.2f} T"],
    ["memory traffic", f"{step.memory_bytes / 1e9:.2f} GB"],
    ["matrix unit", f"{1e3 * step.matrix:.1f} ms"],
    ["vector unit", f"{1e3 * step.vector:.1f} ms"],
    ["memory", f"{1e3 * step.memory:.1f} ms"],
    ["interconnect", f"{range_text(step.wire.times(1e3), 1)} ms"],
  ]
  if step.between:
    counts.append(["data-centre network", f"{1e3 * step.between:.1f} ms"])
  if step.cycles is not None:
    name = "compiler's cycles" if step.cycles.basis == COUNTED else "compiler's cycles, scaled"
    counts.append([name, f"{1e3 * step.cycles.seconds:.1f} ms"])
  compiled = plan.compiled
  if step.cycles and compiled and compiled.slowest and compiled.cycles:
    part = compiled.slowest.cycles / compiled.cycles
    counts.append(["in one operation", f"{1e3 * part * step.cycles.seconds:.1f} ms"])
  hours = step.seconds.times(plan.lowered.total_steps / 3600)
  rows = [
    ["step", *_ends(step.seconds.times(1e3), 1, " ms")],
    ["images/s", *reversed(_ends(plan.images_per_second, 0))],
    ["MFU", *reversed(_ends(plan.mfu.times(100), 0, " %"))],
    [f"hours of {plan.lowered.total_steps:,} steps", *_ends(hours, 2)],
    [f"chip-hours on {counted(chips, 'chip')}", *_ends(plan.chip_hours, 0)],
  ]
  price = cost_of(plan, prices) if prices else None
  if price is not None:
    rows.append(["price", *_ends(price, 0)])
  headers = ["estimate", "at peak", "by cycles"]
  done = tabulate(counts, headers=["a chip in a step", ""], disable_numparse=True)
  slowest = compiled.slowest if compiled else None
  where = f"\nthat operation: {slowest.scopes}" if slowest else ""
  table = tabulate(rows, headers=headers, disable_numparse=True, stralign="right")
  return f"{done}{where}\n\n{table}"


def between_slices(plan: Plan) -> str:
  """Tells what the network between slices takes of a step, and what that rests on."""
  scenario, step = plan.scenario, plan.step
  assert step is not None
  low, high = (100 * step.between / end for end in (step.seconds.high, step.seconds.low))
  return (
    f"Data-centre network, {title(scenario)}: {1e3 * step.between:.1f} ms, {low:.1f} to {high:.1f} "
    f"% of a step (by cycles, at peak). Assumed: {scenario.topology.chip.dcn_gbps:g} GB/s in each "
    f"direction for each chip, all chips of a slice at work at that rate; gradients of "
    f"{plan.gradient_bytes / 1e6:.0f} MB, summed within a slice first, of which each chip then "
    f"sums 1/{scenario.topology.num_chips} with the other slices in a ring: "
    f"{plan.between_bytes / 1e6:.1f} MB sent. No latency, no other traffic on that network, none "
    "of it hidden at the upper end. The program of one slice was compiled, not that of all."
  )


def basis(plan: Plan) -> str:
  """Names what the upper end of a step is taken from."""
  return UNKNOWN if plan.step is None or plan.step.cycles is None else plan.step.cycles.basis


def cost_of(plan: Plan, prices: Mapping[str, float]) -> Range | None:
  """Gives the run's cost in the currency of the prices; without any, in chip-hours.

  It is None where the TPU has no price among those given, or the step has no estimate.
  """
  if plan.chip_hours is None or not prices:
    return plan.chip_hours
  price = prices.get(plan.scenario.topology.generation)
  return None if price is None else plan.chip_hours.times(price)


def mesh_name(scenario: Scenario) -> str:
  """Names the sizes of the mesh axes, such as `8x1`."""
  return "x".join(map(str, scenario.mesh))


def _ends(values: Range, digits: int, unit: str = "") -> list[str]:
  """Writes both ends by themselves; one that is not known as such."""
  low, high = (f"{end:,.{digits}f}{unit}" for end in (values.low, values.high))
  # The speed at a time without a known end is 0.
  is_zero = values.low == 0 and values.high > 0
  return [UNKNOWN_END if is_zero else low, UNKNOWN_END if values.high == math.inf else high]


def range_text(values: Range | None, digits: int) -> str:
  """Writes both ends of a range, as far as they are known; nothing for None."""
  if values is None:
    return ""
  if values.high == math.inf:
    return f"from {values.low:,.{digits}f}"
  if values.low == 0 and values.high > 0:
    return f"up to {values.high:,.{digits}f}"
  return f"{values.low:,.{digits}f} - {values.high:,.{digits}f}"
