"""The work of any function is counted in its jaxpr; for image models also per stage."""

import collections
import dataclasses
import functools
import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.extend import core

from hornet_jax.cost.operations import FOURIER_SCOPE, Work, operation_work
from hornet_jax.errors import InputError

_RECOMPUTED_SCOPE = "rematted_computation"  # as JAX names it

# Fields of models and of what they hold -> their values while products are counted, so that these
# are seen as such whatever runs later: depthwise convolutions as convolutions, Fourier transforms
# as matrix products, equal blocks traced once, nothing told of devices.
_PLAIN = {
  "depthwise": "grouped",
  "fourier": "dft",
  "scan": True,
  "batch_axes": (),
  "fsdp": False,
}

ImageSize = int | tuple[int, int]
"""Side of a square image, or height and width, in pixels."""

Scopes = tuple[str, ...]
"""Name scopes from the outermost to the innermost: `("MyModel", "stem", "conv")`."""


@dataclasses.dataclass(frozen=True)
class StageCost:
  """A `StageCost` says what one top-level part of a model holds and computes.

  Attributes:
    name: name of the part, as in the parameter tree. A part without products, such as a norm,
      is counted with the next.
    shape: shape of its output for one image: (h, w, C) or (K,).
    params: number of parameters.
    macs: MACs of its convolutions and matrix products for one image, see `Work.macs`.
    spectral_macs: nominal MACs of its Fourier transforms, see `Work.spectral_macs`.
  """

  name: str
  shape: tuple[int, ...]
  params: int
  macs: int
  spectral_macs: int


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


def forward_work(model: nn.Module, image_size: ImageSize, channels: int = 3) -> Work:
  """Counts the forward pass of one image.

  Args:
    model: any model that is applied to normalised images [B, H, W, C]; how it is executed makes
      no difference.
    image_size: size of the image.
    channels: number C of its channels.
  """
  return total(_forward(_plain(model, remat="none"), image_size, channels).works.values())


def training_work(model: nn.Module, image_size: ImageSize, channels: int = 3) -> Work:
  """Counts the forward and backward pass of one image, with what is recomputed.

  The gradient is that of all parameters. Here `elements` are numbers written or read: each result
  of the forward pass is written and read once there and read again in the backward pass, where
  its gradient is written and read too. Where linear layers are recomputed, all that is recomputed
  is written and read once more; where their results are kept, what lies between them is taken to
  be recomputed on the fly.

  Args:
    model: any model that is applied to normalised images [B, H, W, C]; of its execution, only
      `remat` makes a difference.
    image_size: size of the image.
    channels: number C of its channels.
  """
  works = _training(_plain(model), image_size, channels)
  again = total(work for path, work in works.items() if _RECOMPUTED_SCOPE in path)
  rewritten = again.elements if again.matmul_macs else 0
  elements = 5 * forward_work(model, image_size, channels).elements + 2 * rewritten
  return dataclasses.replace(total(works.values()), elements=elements)


def stage_costs(model: nn.Module, image_size: ImageSize, channels: int = 3) -> list[StageCost]:
  """Lists the costs of a model's parts in the order of computation; they sum to the whole.

  What belongs to no part, such as a parameter of the model itself, stands in a last row with the
  name of the model's class.

  Args:
    model: any model that is applied to normalised images [B, H, W, C].
    image_size: size of the image.
    channels: number C of its channels.
  """
  forward = _forward(_plain(model, remat="none"), image_size, channels)
  rows = []
  params, work = 0, Work()
  for name, shape in forward.parts.items():
    params += count_params(forward.params.get(name, {}))
    work += total(work for path, work in forward.works.items() if path[1:2] == (name,))
    if work.macs or work.spectral_macs:
      rows.append(StageCost(name, shape, params, work.macs, work.spectral_macs))
      params, work = 0, Work()
  if params:
    rows.append(StageCost(name, shape, params, 0, 0))
  whole = total(forward.works.values())
  rest = StageCost(
    type(model).__name__,
    (),
    count_params(forward.params) - sum(row.params for row in rows),
    whole.macs - sum(row.macs for row in rows),
    whole.spectral_macs - sum(row.spectral_macs for row in rows),
  )
  return [*rows, rest] if rest.params or rest.macs or rest.spectral_macs else rows


@dataclasses.dataclass(frozen=True)
class _Forward:
  """A `_Forward` holds the results of tracing a forward pass once.

  Attributes:
    works: result of `count`.
    parts: top-level modules in the order of computation -> shape of the output of one image.
    variables: abstract Flax variables of the model: parameters and other collections.
  """

  works: Mapping[Scopes, Work]
  parts: Mapping[str, tuple[int, ...]]
  variables: Mapping[str, Any]

  @property
  def params(self) -> Mapping[str, Any]:
    """Gives the abstract parameters; empty where the model has none."""
    return self.variables.get("params", {})


@functools.lru_cache
def _forward(model: nn.Module, image_size: ImageSize, channels: int) -> _Forward:
  parts = {}

  def record(call: Callable, args: Any, kwargs: Any, context: Any) -> Any:
    output = call(*args, **kwargs)
    parent = context.module.parent
    called = context.method_name == "__call__"
    if called and isinstance(parent, type(model)) and not parent.path:
      parts[context.module.name] = jax.tree.leaves(output)[-1].shape[1:]
    return output

  images = _images(image_size, channels)
  # The key is made within, so that no device is asked for it.
  variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x), images)
  with nn.intercept_methods(record):
    works = count(model.apply, variables, images)
  return _Forward(works, parts, variables)


@functools.lru_cache
def _training(model: nn.Module, image_size: ImageSize, channels: int) -> Mapping[Scopes, Work]:
  def loss(params: Any, others: Any, images: jax.Array) -> jax.Array:
    outputs = jax.tree.leaves(model.apply({"params": params, **others}, images))
    return sum((jnp.sum(output) for output in outputs), jnp.zeros(()))

  others = dict(_forward(_plain(model, remat="none"), image_size, channels).variables)
  images = _images(image_size, channels)
  return count(jax.value_and_grad(loss), others.pop("params"), others, images)


def _images(image_size: ImageSize, channels: int) -> jax.ShapeDtypeStruct:
  sides = image_size if isinstance(image_size, tuple) else (image_size, image_size)
  return jax.ShapeDtypeStruct((1, *sides, channels), jnp.float32)


def _plain(value: Any, **fields: Any) -> Any:
  """Copies a model, or the value of a field, with `_PLAIN` and `fields` set, and hashable."""
  if isinstance(value, list | tuple):
    return tuple(_plain(item, **fields) for item in value)
  if not dataclasses.is_dataclass(value) or isinstance(value, type):
    return value
  changed = {
    f.name: {**_PLAIN, **fields}.get(f.name, _plain(getattr(value, f.name), **fields))
    for f in dataclasses.fields(value)
    if f.init and f.name not in ("parent", "name")
  }
  if isinstance(value, nn.Module):
    return value.clone(**changed)
  return dataclasses.replace(value, **changed)


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
