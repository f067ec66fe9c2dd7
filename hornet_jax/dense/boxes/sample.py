"""A fixed number of candidates is drawn at random, of which some show objects."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Key

from hornet_jax.dense.boxes.assign import BACKGROUND
from hornet_jax.dense.boxes.largest import largest
from hornet_jax.errors import InputError


class Sample(NamedTuple):
  """Candidates of one image that were drawn; S slots, of which those at the end may be empty.

  Attributes:
    indices: index of the candidate in each slot; 0 in an empty one.
    positive: whether it was matched with an object. All that were stand first.
    valid: whether the slot is taken.
  """

  indices: Int[Array, "S"]
  positive: Bool[Array, "S"]
  valid: Bool[Array, "S"]


def positive_slots(count: int, positive_share: float) -> int:
  """How many of a sample's slots, from the first on, may hold candidates that show objects.

  It is one at least: where none may, nothing is learned of objects.
  """
  return max(round(count * positive_share), 1)


def sample(
  key: Key[Array, ""], matched: Int[Array, "N"], count: int, positive_share: float
) -> Sample:
  """Draws candidates without repetition: first those that show objects, then background.

  Of either kind each candidate is as likely as any other. Where there are fewer objects than their
  share, background takes their slots.

  Source: mmdet `RandomSampler`.

  Args:
    key: one random key.
    matched: index of each candidate's object, -1 for background, -2 for what is not drawn.
    count: number S of slots.
    positive_share: largest share of them that may show objects.

  Raises:
    InputError: if `count` is not positive, or the share not in (0, 1].
  """
  if count < 1 or not 0 < positive_share <= 1:
    raise InputError(
      "a sample needs at least one slot, and a share in (0, 1] of objects: got "
      f"{count} and {positive_share}."
    )
  draw = jax.random.uniform(key, matched.shape)
  objects, num_objects = _first(draw, matched >= 0, positive_slots(count, positive_share))
  background, num_background = _first(draw, matched == BACKGROUND, count)
  slot = jnp.arange(count)
  positive = slot < num_objects
  valid = slot < num_objects + num_background
  indices = jnp.where(
    positive,
    objects.at[slot].get(mode="fill", fill_value=0),
    background.at[slot - num_objects].get(mode="fill", fill_value=0),
  )
  return Sample(jnp.where(valid, indices, 0), positive, valid)


def _first(draw: Array, of_kind: Array, most: int) -> tuple[Array, Array]:
  """Indices of the largest draws of a kind, and how many of them are of that kind."""
  most = min(most, draw.shape[0])
  _, indices = largest(jnp.where(of_kind, draw, -1.0), most)
  return indices, jnp.minimum(of_kind.sum(), most)
