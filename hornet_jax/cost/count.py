"""The work of any function is counted in its jaxpr."""

import collections
import functools
import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import flax.linen as nn
import jax
from jax.extend import core

from hornet_jax.cost.operations import FOURIER_SCOPE, Work, operation_work
from hornet_jax.errors import InputError

Scopes = tuple[str, ...]
"""Name scopes from the outermost to the innermost: `("MyModel", "stem", "conv")`."""


def count(function: Callable[..., Any], *args: Any) -> dict[Scopes, Work]:
  """Counts the products of a function: it is traced on abstract arguments, and not run.

  The body of a loop of known length counts as often as it runs; of branches, the one with most
  work counts; of `shard_map`, the work of all devices. A differentiated function counts with its
  backward pass and with what `jax.checkpoint` recomputes. What no result needs does not count.
  Products inside of foreign calls are not seen.

  Args:
    function: any function that JAX can trace.
    *args: arrays or `jax.ShapeDtypeStruct`, or trees of them.

  Returns:
    The work of every name scope that does any, such as that of a Flax module, without the scopes
    inside of it that have an entry of their own; `total` of the values is the whole.

  Raises:
    InputError: if there are products in a loop whose length is not known.
  """
  with nn.override_named_call(True):
    jaxpr = jax.make_jaxpr(function)(*args).jaxpr
  found: dict[Scopes, Work] = collections.defaultdict(Work)
  for path, work in _walk(jaxpr, ()):
    found[path] += work
  return dict(found)


def total(works: Iterable[Work]) -> Work:
  """Adds works up, each field by itself."""
  return sum(works, Work())


def count_params(params: Any) -> int:
  """Returns the number of elements of a parameter tree, concrete or abstract."""
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def _walk(jaxpr: core.Jaxpr, outer: Scopes) -> Iterator[tuple[Scopes, Work]]:
  """Yields the work of every product, with its name scopes."""
  for eqn in _live(jaxpr):
    path = outer + _scopes(eqn)
    own = operation_work(eqn, FOURIER_SCOPE in path)
    if own != Work():
      yield path, own
    bodies = [list(_walk(body, path)) for body in _bodies(eqn)]
    if eqn.primitive.name == "cond":
      bodies = [max(bodies, key=lambda body: total(work for _, work in body).macs)]
    elif eqn.primitive.name == "while" and any(bodies):
      raise InputError(
        "`function` must have products in loops of known length alone: expected a scan, got a "
        f"while loop in {'/'.join(path) or 'the function'!r}. Hint: jax.lax.scan, or fori_loop "
        "with fixed bounds."
      )
    for path_inside, work in itertools.chain(*bodies):
      yield path_inside, work.times(_repeats(eqn))


def _bodies(eqn: core.JaxprEqn) -> Iterable[core.Jaxpr]:
  """Gives the jaxprs inside of an equation."""
  if eqn.primitive.name != "custom_linear":
    return core.jaxprs_in_params(eqn.params)
  # A forward derivative of hornet_jax.ops.derivative, which is not traced before it is needed.
  push = functools.partial(eqn.primitive.impl, **eqn.params)
  return [jax.make_jaxpr(push)(*(var.aval for var in eqn.invars)).jaxpr]


def _live(jaxpr: core.Jaxpr) -> list[core.JaxprEqn]:
  """Lists the equations that a result needs, as a compiler drops the others."""
  needed = {id(var) for var in jaxpr.outvars}
  live = []
  for eqn in reversed(jaxpr.eqns):
    if eqn.effects or any(id(var) in needed for var in eqn.outvars):
      needed.update(map(id, eqn.invars))
      live.append(eqn)
  return live[::-1]


def _scopes(eqn: core.JaxprEqn) -> Scopes:
  """Gives the equation's name scopes without transformations: `jvp(MyModel)/stem` has two."""
  names = re.sub(r"[^/(]*\(|\)", "", str(eqn.source_info.name_stack))
  return tuple(filter(None, names.split("/")))


def _repeats(eqn: core.JaxprEqn) -> int:
  """Returns how often the jaxprs inside of an equation are run."""
  params = eqn.params
  match eqn.primitive.name:
    case "scan":
      return params["length"]
    case "shard_map":
      # The later name first.
      axes = params.get("newly_manual_axes") or params["manual_axes"]
      return math.prod(params["mesh"].shape[axis] for axis in axes)
    case "pallas_call":
      return math.prod(params["grid_mapping"].grid)
  return 1
