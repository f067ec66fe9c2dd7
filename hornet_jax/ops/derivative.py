"""This module gives a function a derivative of our own that is differentiable itself, both ways.

`jax.custom_vjp` lets a function choose what it keeps for the backward pass and how that pass is
computed, but has no forward mode. Here a function has both: `push`, its derivative as a linear map
of tangents, and `pull`, the transpose of that map. Backward passes are those of `custom_vjp`: the
arguments alone are kept, and `pull` is called with them. Forward ones call `push`. Whatever `push`
and `pull` do is differentiated in turn, so that derivatives of any order and mode exist.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import Primitive, unmapped_aval
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

Push = Callable[..., Any]
Pull = Callable[..., Sequence[Array]]


def define_derivative(function: jax.custom_jvp, push: Push, pull: Pull) -> None:
  """Defines the derivative of a function.

  Args:
    function: function `(*static, *arguments) -> result`, decorated with `jax.custom_jvp`, whose
      `nondiff_argnums` are those of the static ones; every argument is one array, the result one
      or a tuple of them.
    push: function `(*static, arguments, tangents) -> tangent of the result`, linear in the
      tangents, of which one that is zero comes as None, though never all.
    pull: function `(*static, arguments, cotangent) -> cotangents of the arguments`, the transpose
      of `push` in the tangents.
  """

  _define(function, push, pull, is_linear=False)


def define_transpose(function: jax.custom_jvp, transpose: Callable[..., Sequence[Array]]) -> None:
  """Defines the transpose of a linear function, which keeps nothing for the backward pass.

  Args:
    function: function as of `define_derivative`, linear in all of its arguments together.
    transpose: function `(*static, cotangent) -> cotangents of the arguments`.
  """

  def push(*args: Any) -> Any:
    *static, _, tangents = args
    return function(*static, *tangents)

  def pull(*args: Any) -> Sequence[Array]:
    *static, _, cotangent = args
    return transpose(*static, cotangent)

  _define(function, push, pull, is_linear=True)


def push_bilinear(function: Callable[..., Array]) -> Push:
  """Makes the `push` of a function `(*static, a, b)` that is linear in each of two arguments."""

  def push(*args: Any) -> Array:
    *static, (a, b), (da, db) = args
    parts = [] if da is None else [function(*static, da, b)]
    parts += [] if db is None else [function(*static, a, db)]
    return sum(parts[1:], parts[0])

  return push


def _define(function: jax.custom_jvp, push: Push, pull: Pull, is_linear: bool) -> None:
  def rule(*args: Any) -> tuple[Any, Any]:
    *static, arguments, tangents = args
    result = function(*static, *arguments)
    leaves, tree = jax.tree.flatten(result)
    if is_linear:
      tangents = [
        jnp.zeros_like(argument) if isinstance(tangent, SymbolicZero) else tangent
        for argument, tangent in zip(arguments, tangents, strict=True)
      ]
      arguments = ()
    is_zero = tuple(isinstance(tangent, SymbolicZero) for tangent in tangents)
    given = [tangent for tangent, zero in zip(tangents, is_zero, strict=True) if not zero]
    pushed = _linear_p.bind(
      *arguments,
      *given,
      count=len(arguments),
      push=push,
      pull=pull,
      static=tuple(static),
      is_zero=is_zero,
      tree=tree,
      types=tuple(jax.typeof(leaf) for leaf in leaves),
      batches=0,
    )
    return result, jax.tree.unflatten(tree, pushed)

  function.defjvp(rule, symbolic_zeros=True)


_linear_p = Primitive("custom_linear")
"""The map of tangents: the arguments come first, then those tangents that are not zero."""
_linear_p.multiple_results = True


def _pushed(*args, count, push, static, is_zero, batches, **_) -> list[Array]:
  def apply(*args):
    arguments, given = args[:count], iter(args[count:])
    return jax.tree.leaves(
      push(*static, arguments, tuple(None if zero else next(given) for zero in is_zero))
    )

  return _batched(apply, batches)(*args)


def _pulled(*args, count, pull, static, is_zero, tree, batches) -> list[Array]:
  def apply(*args):
    cotangents = pull(*static, args[:count], jax.tree.unflatten(tree, args[count:]))
    return [c for c, zero in zip(cotangents, is_zero, strict=True) if not zero]

  return _batched(apply, batches)(*args)


def _batched(function, batches):
  for _ in range(batches):
    function = jax.vmap(function)
  return function


def _differentiated(primals, tangents, **params):
  """Differentiates `push` itself: derivatives of a forward derivative."""
  given = [i for i, tangent in enumerate(tangents) if not isinstance(tangent, ad.Zero)]

  def of_given(*values):
    args = list(primals)
    for i, value in zip(given, values, strict=True):
      args[i] = value
    return _pushed(*args, **params)

  return jax.jvp(of_given, [primals[i] for i in given], [tangents[i] for i in given])


def _transposed(cotangents, *args, types, push, **params):
  del push
  count = params["count"]
  given = [ad.instantiate_zeros(cotangent) for cotangent in cotangents]
  return [None] * count + list(_pulled(*args[:count], *given, **params))


def _vmapped(args, axes, *, types, batches, **params):
  size = next(arg.shape[axis] for arg, axis in zip(args, axes, strict=True) if axis is not None)
  args = [batching.bdim_at_front(arg, axis, size) for arg, axis in zip(args, axes, strict=True)]
  types = tuple(unmapped_aval(size, 0, aval) for aval in types)
  results = _linear_p.bind(*args, types=types, batches=batches + 1, **params)
  return results, [0] * len(results)


_linear_p.def_impl(_pushed)
_linear_p.def_abstract_eval(lambda *_, types, **__: types)
mlir.register_lowering(_linear_p, mlir.lower_fun(_pushed, multiple_results=True))
ad.primitive_jvps[_linear_p] = _differentiated
ad.primitive_transposes[_linear_p] = _transposed
batching.primitive_batchers[_linear_p] = _vmapped
