"""This module writes the tables in which `plan` compares several plans."""

import math
from collections.abc import Mapping, Sequence

from tabulate import tabulate

from hornet_jax.cli.plan_tables import (
  GIB,
  basis,
  between_slices,
  cost_of,
  mesh_name,
  range_text,
  title,
)
from hornet_jax.cost.estimate import methods
from hornet_jax.cost.plan import Plan


def comparison(plans: Sequence[Plan], prices: Mapping[str, float]) -> str:
  """Compares plans in a table, one row each; the cheapest that fits is marked if it is known.

  Args:
    plans: plans of several scenarios.
    prices: price of a chip-hour by TPU, see `report`.
  """
  cheapest, remark = _cheapest(plans, prices)
  rows = []
  for i, plan in enumerate(plans):
    scenario = plan.scenario
    fits = {True: "yes", False: "no", None: ""}[plan.fits]
    row = [
      "*" if i == cheapest else "",
      scenario.topology.name,
      mesh_name(scenario),
      scenario.config["model"]["remat"],
      scenario.images,
      "" if plan.peak is None else f"{plan.peak / GIB:.2f}",
      fits,
    ]
    if plan.step is None or not plan.fits:
      rows.append([*row, *[""] * 5])
      continue
    assert plan.wire_bytes is not None
    row += [
      f"{plan.wire_bytes / 1e6:.0f}",
      range_text(plan.step.seconds.times(1e3), 0),
      range_text(plan.images_per_second, 0),
      range_text(plan.chip_hours, 0),
      range_text(cost_of(plan, prices), 0) if prices else "",
    ]
    rows.append(row)
  headers = ["", "TPU", "mesh", "remat", "images a chip", "GiB", "fits", "MB sent"]
  headers += ["ms a step", "images/s", "chip-hours", "price"]
  if not prices:
    rows, headers = [row[:-1] for row in rows], headers[:-1]
  notes = sorted({note for plan in plans for note in plan.scenario.notes})
  lines = [tabulate(rows, headers=headers, disable_numparse=True, stralign="right")]
  lines += [remark, "Ranges reach from the time at peak to that by cycles."]
  lines += [f"note: {note}" for note in notes]
  slices = [plan for plan in plans if plan.scenario.slices > 1 and plan.step is not None]
  lines += [between_slices(plan) for plan in slices[:1]]
  return "\n".join([*lines, methods({basis(plan) for plan in plans if plan.step is not None})])


def weak_scaling(plans: Sequence[Plan]) -> str:
  """Compares speeds on more and more chips, with the same images a chip, in a table."""
  rows = []
  first = plans[0].step
  for plan in plans:
    if plan.step is None or first is None:
      rows.append([plan.scenario.num_chips, "does not fit", *[""] * 5])
      continue
    assert plan.wire_bytes is not None
    step = plan.step
    shown = 100 * first.at_peak_networks_shown / step.at_peak_networks_shown
    hidden = 100 * first.seconds.low / step.seconds.low
    rows.append(
      [
        plan.scenario.num_chips,
        mesh_name(plan.scenario),
        f"{plan.wire_bytes / 1e6:.0f}",
        range_text(step.wire.times(1e3), 1),
        range_text(step.seconds.times(1e3), 0),
        range_text(plan.images_per_second, 0),
        f"{shown:.1f} - {hidden:.1f} %",
      ]
    )
  headers = ["chips", "mesh", "MB sent", "ms on the wire", "ms a step", "images/s", "efficiency"]
  table = tabulate(rows, headers=headers, disable_numparse=True, stralign="right")
  chip = plans[0].scenario.topology.chip
  assumption = (
    "Efficiency: speed of a chip to that in the first row, at peak, with nothing that is sent "
    "hidden behind other work and with all of it hidden. Assumed: "
    f"{chip.link_gbps:.0f} GB/s in each direction of each of a chip's {chip.links} links, all of "
    "them at work at that rate on rings that close; no latency, no waiting for a slow host, no "
    "input that falls short."
  )
  if plans[0].scenario.slices > 1 and first is not None:
    assumption += "\n" + between_slices(plans[0])
  else:
    assumption += " The network between slices is not used."
  bases = {basis(plan) for plan in plans if plan.step is not None}
  return f"{title(plans[0].scenario)}, and more chips\n{table}\n{assumption}\n{methods(bases)}"


def _cheapest(plans: Sequence[Plan], prices: Mapping[str, float]) -> tuple[int | None, str]:
  """Finds the cheapest plan that fits, and says in a line what makes it that, or why none is."""
  fitting = [i for i, plan in enumerate(plans) if plan.fits and plan.step is not None]
  kinds = {plans[i].scenario.topology.generation for i in fitting}
  missing = ", ".join(sorted(kinds - prices.keys()))
  if not fitting:
    return None, "None fits, so none is marked."
  if missing and (prices or len(kinds) > 1):
    return None, f"None is marked as the cheapest: there is no price of {missing} (--price)."
  ends = {i: cost.high for i in fitting if (cost := cost_of(plans[i], prices)) is not None}
  if not all(map(math.isfinite, ends.values())):
    return None, "None is marked as the cheapest: not every step has a known upper end (--full)."
  by = "the cheapest that fits" if prices else "the fewest chip-hours that fit, all of one TPU"
  return min(ends, key=lambda i: ends[i]), f"* {by}, by the upper end"
