"""Derivatives of the ops, of any order and mode, against the libraries' own forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_data import assert_close

from hornet_jax.cost.count import count, total
from hornet_jax.models.dense import _matmul
from hornet_jax.ops import depthwise_conv, gelu, layer_norm
from hornet_jax.ops.fourier import irfft2, rfft2


def library_conv(x, kernel):
  numbers = ("NHWC", "HWIO", "NHWC")
  return jax.lax.conv_general_dilated(
    x, kernel, (1, 1), "SAME", dimension_numbers=numbers, feature_group_count=x.shape[-1]
  )


def library_norm(x, scale, bias):
  centered = x - jnp.mean(x, -1, keepdims=True)
  normalized = centered / jnp.sqrt(jnp.mean(centered**2, -1, keepdims=True) + 1e-6)
  return normalized * scale[None, None, None] + bias[None, None, None]


def library_rfft2(x):
  spectrum = jnp.fft.rfft2(x, axes=(1, 2), norm="ortho")
  return jnp.real(spectrum), jnp.imag(spectrum)


def library_irfft2(re, im):
  columns = jnp.fft.ifft(jax.lax.complex(re, im), axis=1, norm="ortho")
  return jnp.fft.irfft(columns, n=5, axis=2, norm="ortho")


X, KERNEL, SPECTRUM = (2, 4, 5, 3), (3, 3, 1, 3), (2, 4, 3, 3)
OPS = {
  "shift": (lambda x, k: depthwise_conv(x, k, "shift"), library_conv, (X, KERNEL)),
  "grouped": (lambda x, k: depthwise_conv(x, k, "grouped"), library_conv, (X, KERNEL)),
  "auto": (depthwise_conv, library_conv, (X, KERNEL)),
  "gelu": (gelu, lambda x: jax.nn.gelu(x, approximate=False), (X,)),
  "layer_norm": (layer_norm, library_norm, (X, (3,), (3,))),
  "rfft2": (rfft2, library_rfft2, (X,)),
  "rfft2, fft": (lambda x: rfft2(x, "fft"), library_rfft2, (X,)),
  "irfft2": (lambda re, im: irfft2((re, im), 5), library_irfft2, (SPECTRUM, SPECTRUM)),
  "irfft2, fft": (
    lambda re, im: irfft2((re, im), 5, "fft"),
    library_irfft2,
    (SPECTRUM, SPECTRUM),
  ),
  "matmul": (_matmul, jnp.matmul, (X, (3, 4))),
}


def random(*shapes, seed=0):
  rng = np.random.default_rng(seed)
  return tuple(jnp.asarray(rng.standard_normal(shape, np.float32)) for shape in shapes)


def curved(function, *args):
  """A number whose second derivatives see those of the function and of what it is linear in."""
  return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(function(*args)))


def derivatives(function, args, tangents):
  def value(*args):
    return curved(function, *args)

  numbers = tuple(range(len(args)))
  gradient = jax.grad(value, numbers)

  def slope(*args):
    return jax.jvp(value, args, tangents)[1]

  def along(*args):
    return sum(jnp.vdot(g, t) for g, t in zip(gradient(*args), tangents, strict=True))

  def of_first_alone(x):
    return jax.jvp(lambda x: value(x, *args[1:]), (x,), tangents[:1])[1]

  return {
    "jvp": jax.jvp(function, args, tangents),
    "gradient": gradient(*args),
    "forward over reverse": jax.jvp(gradient, args, tangents)[1],
    "reverse over forward": jax.grad(slope, numbers)(*args),
    "reverse over reverse": jax.grad(along, numbers)(*args),
    "of one argument": jax.grad(of_first_alone)(args[0]),
  }


def slow(name):
  return pytest.param(name, marks=pytest.mark.slow)


ALL = [slow(name) if name == "shift" or name.endswith("fft") else name for name in OPS]


@pytest.mark.parametrize("name", ALL)
def test_every_order_and_mode_is_the_library_s(name):
  ours, theirs, shapes = OPS[name]
  args, tangents = random(*shapes), random(*shapes, seed=1)
  run = jax.jit(lambda args, tangents: [derivatives(f, args, tangents) for f in (ours, theirs)])
  actual, expected = run(args, tangents)
  for mode, wanted in expected.items():
    for a, b in zip(jax.tree.leaves(actual[mode]), jax.tree.leaves(wanted), strict=True):
      assert_close(a, b, 2e-5, mode)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["auto", "layer_norm", "irfft2", "matmul"])
def test_third_derivatives_are_the_library_s(name):
  ours, theirs, shapes = OPS[name]
  args, tangents = random(*shapes), random(*shapes, seed=1)

  def third(function, args, tangents):
    def along(derivative):
      return lambda *args: jax.jvp(derivative, args, tangents)[1]

    numbers = tuple(range(len(args)))
    return jax.grad(along(along(lambda *args: curved(function, *args))), numbers)(*args)

  run = jax.jit(lambda args, tangents: [third(f, args, tangents) for f in (ours, theirs)])
  for a, b in zip(*run(args, tangents), strict=True):
    assert_close(a, b, 2e-5)


@pytest.mark.parametrize("name", ["matmul", *map(slow, ("auto", "layer_norm", "irfft2"))])
def test_batches_of_derivatives(name):
  """Within a `vmap`, or two, a derivative is that of each example."""
  function, _, shapes = OPS[name]
  args, tangents = random(*shapes), random(*((3, 2, *shape) for shape in shapes), seed=1)

  def push(*tangents):
    return jax.jvp(function, args, tangents)[1]

  def pull(*tangents):
    """A gradient through the batched derivative: tangents that are alike are summed."""

    def total(*args):
      outer = jax.vmap(jax.vmap(lambda *t: jax.jvp(function, args, t)[1]))
      return jnp.sum(jnp.sin(outer(*tangents)))

    def one_by_one(*args):
      each = [
        jax.jvp(function, args, tuple(t[i, j] for t in tangents))[1]
        for i in range(3)
        for j in range(2)
      ]
      return jnp.sum(jnp.sin(jnp.stack(each)))

    return jax.grad(total)(*args), jax.grad(one_by_one)(*args)

  def shared(x):
    """`x` is the same for all: its gradient is a sum over the batch."""
    outer = jax.vmap(lambda t: function(x, *(a + t for a in args[1:])))
    return jnp.sum(jnp.sin(outer(jnp.arange(3.0))))

  def shared_one_by_one(x):
    each = [function(x, *(a + t for a in args[1:])) for t in (0.0, 1.0, 2.0)]
    return jnp.sum(jnp.sin(jnp.stack(each)))

  @jax.jit
  def run(tangents):
    batched = jax.vmap(jax.vmap(push))(*tangents)
    single = jnp.stack(
      [jnp.stack([push(*(t[i, j] for t in tangents)) for j in range(2)]) for i in range(3)]
    )
    pairs = [(batched, single), pull(*tangents)]
    return [*pairs, (jax.grad(shared)(args[0]), jax.grad(shared_one_by_one)(args[0]))]

  for batched, single in run(tangents):
    assert_close(batched, single, 2e-5)


def test_second_derivatives_of_a_loop():
  """Kernels that a loop goes over, as in a stage, against the same without the loop."""
  x, kernels, tangent = random(X, (2, *KERNEL), (2, *KERNEL))

  def block(x, kernel):
    return gelu(depthwise_conv(x, kernel))

  def looped(kernels):
    return curved(lambda k: jax.lax.scan(lambda x, k: (block(x, k), None), x, k)[0], kernels)

  def unrolled(kernels):
    return curved(lambda k: block(block(x, k[0]), k[1]), kernels)

  def forward(function):
    return jax.jvp(jax.grad(function), (kernels,), (tangent,))[1]

  def reverse(function):
    return jax.grad(lambda k: jnp.vdot(jax.grad(function)(k), tangent))(kernels)

  *found, expected = jax.jit(lambda: (forward(looped), reverse(looped), forward(unrolled)))()
  for product in found:
    assert_close(product, expected, 2e-5)


def test_transforms_keep_nothing_for_the_backward_pass():
  x, re, im = random(X, SPECTRUM, SPECTRUM)
  for name in ("rfft2", "irfft2"):
    _, pullback = jax.vjp(OPS[name][0], *((x,) if name == "rfft2" else (re, im)))
    assert not [leaf for leaf in jax.tree.leaves(pullback) if leaf.size >= re.size]


def test_forward_derivatives_count():
  """One product for the value, and one for the tangent of each argument."""
  conv = OPS["grouped"][0]
  x, kernel = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in (X, KERNEL))
  macs = 9 * np.prod(X)

  def forward(x, kernel):
    return jax.jvp(conv, (x, kernel), (x, kernel))

  def of_first_alone(x, kernel):
    return jax.jvp(lambda x: conv(x, kernel), (x,), (x,))

  counted = [total(count(f, x, kernel).values()) for f in (conv, forward, of_first_alone)]
  assert [work.depthwise_macs for work in counted] == [macs, 3 * macs, 2 * macs]
