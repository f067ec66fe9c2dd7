"""This module writes the text and tables that `plan` prints."""

from collections.abc import Mapping, Sequence

from tabulate import tabulate

from hornet_jax.cost.estimate import Range, methods
from hornet_jax.cost.plan import Plan, Scenario
from hornet_jax.cost.xla.collectives import totals

_GIB = 2**30


def title(scenario: Scenario) -> str:
  """Names what is planned, in one line."""
  model, data = scenario.config["model"], scenario.config["data"]
  dtype, size = model["dtype"], data["image_size"]
  rolled = "" if model["scan"] else ", no scan"
  return (
    f"{model['variant']} on {scenario.topology.name}, mesh {_mesh(scenario)}, {scenario.images} "
    f"images of {size} a chip, {dtype}, remat {model['remat']}{rolled}"
  )


def memory_line(plan: Plan) -> str:
  """Tells, in one line, the batch and the memory that it takes; the plan must be compiled."""
  assert plan.peak is not None
  remat = plan.scenario.config["model"]["remat"]
  return (
    f"{plan.scenario.images} images a chip, remat {remat}: {plan.peak / _GIB:.2f} of "
    f"{plan.limit / _GIB:.2f} GiB"
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
    steps = f"{lowered.total_steps:,} steps of {scenario.config['data']['batch_size']:,} images"
    return "\n".join([*parts, "", steps, "Arithmetic alone: the compiler was not asked."])
  if plan.step is None:
    return "\n".join(parts)
  parts += ["", _collectives(plan), "", _times(plan, prices), ""]
  parts += [methods(plan.compiled.cycles is not None)]
  parts += [f"The compiler took {plan.compiled.seconds:.0f} s, lowering included."]
  return "\n".join(parts)


def comparison(plans: Sequence[Plan], prices: Mapping[str, float]) -> str:
  """Compares plans in a table, one row each; the cheapest that fits is marked.

  Args:
    plans: plans of several scenarios.
    prices: price of a chip-hour by TPU, see `report`.
  """
  costs = {i: _cost(plan, prices) for i, plan in enumerate(plans) if plan.fits}
  complete = {i: cost for i, cost in costs.items() if cost is not None}
  cheapest = min(complete, key=lambda i: complete[i].high, default=None)
  rows = []
  for i, plan in enumerate(plans):
    scenario = plan.scenario
    fits = {True: "yes", False: "no", None: ""}[plan.fits]
    row = [
      "*" if i == cheapest else "",
      scenario.topology.name,
      _mesh(scenario),
      scenario.config["model"]["remat"],
      scenario.images,
      "" if plan.peak is None else f"{plan.peak / _GIB:.2f}",
      fits,
    ]
    if plan.step is None or not plan.fits:
      rows.append([*row, *[""] * 5])
      continue
    assert plan.wire_bytes is not None
    assert plan.images_per_second is not None
    row += [
      f"{plan.wire_bytes / 1e6:.0f}",
      _range(plan.step.seconds.times(1e3), 0),
      _range(plan.images_per_second, 0),
      _range(plan.chip_hours, 0),
      _range(_cost(plan, prices), 0) if prices else "",
    ]
    rows.append(row)
  headers = ["", "TPU", "mesh", "remat", "images a chip", "GiB", "fits", "MB sent"]
  headers += ["ms a step", "images/s", "chip-hours", "price"]
  if not prices:
    rows, headers = [row[:-1] for row in rows], headers[:-1]
  by = "price" if prices else "chip-hours"
  notes = sorted({note for plan in plans for note in plan.scenario.notes})
  full = any(plan.compiled and plan.compiled.cycles for plan in plans)
  lines = [tabulate(rows, headers=headers, disable_numparse=True, stralign="right")]
  lines += [f"* the cheapest that fits, by the upper end of its {by}"]
  return "\n".join([*lines, *(f"note: {note}" for note in notes), methods(full)])


def weak_scaling(plans: Sequence[Plan]) -> str:
  """Compares speeds on more and more chips, with the same images a chip, in a table."""
  rows = []
  first = plans[0].step
  for plan in plans:
    if plan.step is None or first is None:
      rows.append([plan.scenario.topology.num_chips, "does not fit", *[""] * 5])
      continue
    assert plan.wire_bytes is not None
    assert plan.images_per_second is not None
    step = plan.step
    hidden, shown = (first.seconds.low / step.seconds.low, first.seconds.high / step.seconds.high)
    rows.append(
      [
        plan.scenario.topology.num_chips,
        _mesh(plan.scenario),
        f"{plan.wire_bytes / 1e6:.0f}",
        _range(step.wire.times(1e3), 1),
        _range(step.seconds.times(1e3), 0),
        _range(plan.images_per_second, 0),
        f"{100 * shown:.1f} - {100 * hidden:.1f} %",
      ]
    )
  headers = ["chips", "mesh", "MB sent", "ms on the wire", "ms a step", "images/s", "efficiency"]
  table = tabulate(rows, headers=headers, disable_numparse=True, stralign="right")
  chip = plans[0].scenario.topology.chip
  assumption = (
    "Efficiency: speed of a chip to that in the first row, with nothing hidden and with all of it "
    f"hidden. Assumed: {chip.link_gbps:.0f} GB/s in each direction of each of a chip's "
    f"{chip.links} links, all of them at work at that rate on rings that close; no latency, no "
    "waiting for a slow host, no input that falls short; the network between slices is not used."
  )
  return f"{title(plans[0].scenario)}, and more chips\n{table}\n{assumption}\n{methods(False)}"


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
  lines = [
    tabulate(
      [[name, f"{size / _GIB:.3f}"] for name, size in rows],
      headers=["memory of a chip", "GiB"],
      disable_numparse=True,
      colalign=("left", "right"),
    )
  ]
  if plan.peak is None:
    return lines[0]
  verdict = "fits" if plan.fits else "DOES NOT FIT"
  lines.append(f"{verdict}: {plan.peak / _GIB:.2f} of {plan.limit / _GIB:.2f} GiB")
  if plan.state_layout is not None:
    more = 100 * (plan.state_layout / lowered.state - 1)
    lines.append(
      f"state as the compiler lays it out: {plan.state_layout / _GIB:.3f} GiB, "
      f"{more:+.1f} % of arithmetic"
    )
  if plan.fits:
    lines.append(
      f"largest batch: not compiled; {plan.proportional_batch} images a chip, if all but the state "
      "grew with it (--largest compiles to find one that fits)"
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
  headers = ["collectives of a step", "count", "MB that a chip sends"]
  return tabulate(rows, headers=headers, disable_numparse=True, colalign=("left", *["right"] * 2))


def _times(plan: Plan, prices: Mapping[str, float]) -> str:
  step, chips = plan.step, plan.scenario.topology.num_chips
  assert step is not None
  assert plan.mfu is not None
  rows = [
    ["FLOPs of a chip", f"{step.flops / 1e12:.2f} T"],
    ["memory traffic of a chip", f"{step.memory_bytes / 1e9:.2f} GB"],
    ["matrix unit", f"{1e3 * step.matrix:.1f} ms"],
    ["vector unit", f"{1e3 * step.vector:.1f} ms"],
    ["memory", f"{1e3 * step.memory:.1f} ms"],
    ["interconnect", f"{_range(step.wire.times(1e3), 1)} ms"],
  ]
  if step.compiler is not None:
    rows.append(["compiler's cycles", f"{1e3 * step.compiler:.1f} ms"])
  rows += [
    ["step", f"{_range(step.seconds.times(1e3), 1)} ms"],
    ["images/s", _range(plan.images_per_second, 0)],
    ["MFU", f"{_range(plan.mfu.times(100), 0)} %"],
    ["run", f"{plan.lowered.total_steps:,} steps"],
    ["hours", _range(step.seconds.times(plan.lowered.total_steps / 3600), 2)],
    ["chip-hours", f"{_range(plan.chip_hours, 0)} on {chips} chips"],
  ]
  price = _cost(plan, prices) if prices else None
  if price is not None:
    rows.append(["price", _range(price, 0)])
  return tabulate(rows, headers=["estimate", ""], disable_numparse=True)


def _cost(plan: Plan, prices: Mapping[str, float]) -> Range | None:
  """Gives the run's cost in the currency of the prices; without any, in chip-hours.

  It is None where the TPU has no price among those given, or the step has no estimate.
  """
  if plan.chip_hours is None or not prices:
    return plan.chip_hours
  price = prices.get(plan.scenario.topology.generation)
  return None if price is None else plan.chip_hours.times(price)


def _mesh(scenario: Scenario) -> str:
  return "x".join(map(str, scenario.mesh))


def _range(values: Range | None, digits: int) -> str:
  if values is None:
    return ""
  return f"{values.low:,.{digits}f} - {values.high:,.{digits}f}"
