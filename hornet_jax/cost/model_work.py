"""The work of image models is counted: to predict and to train, whole and per stage."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from hornet_jax.cost.count import Scopes, count, count_params, total
from hornet_jax.cost.operations import Work

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

HeadContext = tuple[tuple[str, tuple[int, ...], str], ...]
"""Names, shapes and types of what a head is told of one image in training, such as the boxes of its
objects; empty where it is told nothing, see `hornet_jax.train.head_context`."""


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


def forward_work(
  model: nn.Module, image_size: ImageSize, channels: int = 3, context: HeadContext = ()
) -> Work:
  """Counts the forward pass of one image.

  A head that is told of an image in training does other work there than to predict: with `context`
  the former is counted, without it the latter.

  Args:
    model: any model that is applied to normalised images [B, H, W, C]; how it is executed makes
      no difference.
    image_size: size of the image.
    channels: number C of its channels.
    context: what the head is told of an image in training.
  """
  plain = _plain(model, remat="none")
  return total(_forward(plain, image_size, channels, context).works.values())


def training_work(
  model: nn.Module, image_size: ImageSize, channels: int = 3, context: HeadContext = ()
) -> Work:
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
    context: what the head is told of an image in training.
  """
  works = _training(_plain(model), image_size, channels, context)
  again = total(work for path, work in works.items() if _RECOMPUTED_SCOPE in path)
  rewritten = again.elements if again.matmul_macs else 0
  elements = 5 * forward_work(model, image_size, channels, context).elements + 2 * rewritten
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
def _forward(
  model: nn.Module, image_size: ImageSize, channels: int, context: HeadContext = ()
) -> _Forward:
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
    works = count(functools.partial(_apply, model, context), variables, images)
  return _Forward(works, parts, variables)


@functools.lru_cache
def _training(
  model: nn.Module, image_size: ImageSize, channels: int, context: HeadContext
) -> Mapping[Scopes, Work]:
  def loss(params: Any, others: Any, images: jax.Array) -> jax.Array:
    outputs = jax.tree.leaves(_apply(model, context, {"params": params, **others}, images))
    return sum((jnp.sum(output) for output in outputs), jnp.zeros(()))

  others = dict(_forward(_plain(model, remat="none"), image_size, channels).variables)
  images = _images(image_size, channels)
  return count(jax.value_and_grad(loss), others.pop("params"), others, images)


def _apply(model: nn.Module, context: HeadContext, variables: Any, images: jax.Array) -> Any:
  """Applies a model to one image: as in training where its head is told something of it."""
  if not context:
    return model.apply(variables, images)
  told = {name: jnp.zeros((1, *shape), dtype) for name, shape, dtype in context}
  state = [name for name in variables if name != "params"]
  keys = jax.random.split(jax.random.key(0), 1)
  outputs, _ = model.apply(variables, images, train=True, keys=keys, context=told, mutable=state)
  return outputs


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
