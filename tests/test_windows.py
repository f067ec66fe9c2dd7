"""Windows cover an image, and their scores become those of its pixels as if drawn on a canvas."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hornet_jax.data.views.masks import IGNORED
from hornet_jax.data.views.paired_view import resize_window, scaled_size
from hornet_jax.data.views.windows import Scaling, Windows, scalings
from hornet_jax.errors import InputError
from hornet_jax.ops.resample import resize_bilinear
from hornet_jax.parallel.mesh import batch_sharding, make_mesh
from hornet_jax.tasks import window_scores
from hornet_jax.tasks.preview import SIDE, preview_grid, take_preview
from hornet_jax.tasks.window_scores import (
  classify_pixels,
  pixel_log_probabilities,
  room,
  score_windows,
)

FILL = (10, 20, 30)
SIZES = [(21, 50), (64, 20), (16, 16), (9, 40), (37, 1), (33, 33)]
WHOLE = Windows(16, 16, scalings((16, 16)), FILL)
WINDOWS = Windows(16, 10, scalings((48, 20), (0.6, 1.2), flip=True), FILL)


def image_of(size, seed=0):
  return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def batch_of(images, windows):
  cut = [windows.cut(image) for image in images]
  return {name: jnp.asarray(np.stack([one[name] for one in cut])) for name in cut[0]}


def coarse_scores(images):
  """A network of 4 x 4 patches, three classes: nonlinear, and not symmetric under flips."""
  patches = images.astype(jnp.float32).reshape(len(images), 4, 4, 4, 4, 3)
  weights = jnp.asarray(np.random.default_rng(1).normal(size=(4, 4, 3, 3)), jnp.float32)
  return jnp.tanh(jnp.einsum("byiwjc,ijck->bywk", patches / 255, weights))


def mmseg_probabilities(image, windows):
  """The canvas of mmseg: enlarged windows are added up, divided by their number, and resized."""
  total = []
  for scaling in windows.scalings:
    height, width = scaled_size(image.shape[:2], scaling.long_side, scaling.short_side)
    whole = resize_window(image, (height, width), (0, 0, height, width))
    whole = whole[:, ::-1] if scaling.flip else whole
    canvas, count = np.zeros((height, width, 3)), np.zeros((height, width, 1))
    size, stride = windows.size, windows.stride
    for row in range(max(height - size + stride - 1, 0) // stride + 1):
      for column in range(max(width - size + stride - 1, 0) // stride + 1):
        y2, x2 = min(row * stride + size, height), min(column * stride + size, width)
        y1, x1 = max(y2 - size, 0), max(x2 - size, 0)
        window = np.full((size, size, 3), FILL, np.uint8)
        window[: y2 - y1, : x2 - x1] = whole[y1:y2, x1:x2]
        scores = resize_bilinear(coarse_scores(jnp.asarray(window[None])), (size, size))
        canvas[y1:y2, x1:x2] += np.asarray(scores)[0, : y2 - y1, : x2 - x1]
        count[y1:y2, x1:x2] += 1
    assert (count > 0).all()
    scores = resize_bilinear(jnp.asarray(canvas / count, jnp.float32)[None], image.shape[:2])
    probabilities = np.asarray(jax.nn.softmax(scores))[0]
    total.append(probabilities[:, ::-1] if scaling.flip else probabilities)
  return np.mean(total, axis=0)


@pytest.mark.parametrize("windows", [WINDOWS, WHOLE])
def test_scores_are_those_of_a_canvas(windows):
  """One batch of images of all kinds of sizes: long, narrow, smaller than a window."""
  images = [image_of(size, seed) for seed, size in enumerate(SIZES)]
  batch = batch_of(images, windows)
  scores = jax.jit(lambda batch: score_windows(coarse_scores, batch, windows))(batch)
  shape = (64, 50)
  found = np.exp(pixel_log_probabilities(scores, batch, windows, (0, 0), shape))
  for row, image in enumerate(images):
    height, width = image.shape[:2]
    expected = mmseg_probabilities(image, windows)
    np.testing.assert_allclose(found[row, :height, :width], expected, atol=3e-5)


def test_pixels_are_classified_tile_by_tile(monkeypatch):
  """Every pixel has its likeliest class; where a score is NaN, none."""
  monkeypatch.setattr(window_scores, "TILE", (16, 24))
  images = [image_of(size, seed) for seed, size in enumerate(SIZES)]
  batch = batch_of(images, WHOLE)
  scores = score_windows(coarse_scores, batch, WHOLE).at[1].set(jnp.nan)
  shape = room((64, 50))
  assert shape == (64, 72)
  corners = jnp.zeros(shape, jnp.int32)
  classes, corners = jax.jit(
    lambda scores: classify_pixels(
      *(scores, batch, WHOLE, shape),
      lambda found, corner, classes, log_p: found.at[corner].add(classes.shape[1]),
      corners,
    )
  )(scores)
  expected = np.zeros(shape, int)
  expected[::16, ::24] = 16
  np.testing.assert_array_equal(corners, expected)
  likeliest = pixel_log_probabilities(scores, batch, WHOLE, (0, 0), shape).argmax(-1)
  for row, image in enumerate(images):
    height, width = image.shape[:2]
    wanted = IGNORED if row == 1 else likeliest[row, :height, :width]
    np.testing.assert_array_equal(classes[row, :height, :width], wanted)


def test_what_else_is_in_a_batch_changes_nothing():
  images = [image_of(size, seed) for seed, size in enumerate(SIZES[:3])]

  @jax.jit
  def run(batch):
    scores = score_windows(coarse_scores, batch, WINDOWS)
    return pixel_log_probabilities(scores, batch, WINDOWS, (0, 0), (32, 50))

  together, alone = batch_of(images, WINDOWS), batch_of(images[:1], WINDOWS)
  padded = {name: field.padding()[None] for name, field in WINDOWS.fields.items()}
  beside = {name: jnp.concatenate([padded[name], alone[name]]) for name in alone}
  many, one, second = (run(batch) for batch in (together, alone, beside))
  np.testing.assert_allclose(many[0], one[0], atol=1e-6)
  np.testing.assert_allclose(second[1], one[0], atol=1e-6)
  assert np.isfinite(second[0]).all()  # a row of padding


def test_windows_cover_every_pixel():
  for side in range(1, 90):
    starts = WINDOWS.starts(side)
    covered = np.zeros(side, bool)
    for start in starts:
      covered[start : start + 16] = True
    assert covered.all()
    assert starts == sorted(set(starts))
    assert all(start + 16 <= max(side, 16) for start in starts)


@pytest.mark.parametrize(
  ("size", "ratio", "flip"), [((30, 72), 1.0, False), ((72, 30), 1.0, True), ((5, 9), 1.5, True)]
)
def test_windows_are_parts_of_the_scaled_image(size, ratio, flip):
  image = image_of(size)
  scaling = scalings((48, 20), (ratio,))[0]
  windows = Windows(16, 10, (Scaling(scaling.long_side, scaling.short_side, flip),), FILL)
  cut = windows.cut(image)
  for name, field in windows.fields.items():
    assert cut[name].shape == field.shape
    assert cut[name].dtype == field.dtype
  height, width = cut["scaled"][0].tolist()
  whole = resize_window(image, (height, width), (0, 0, height, width))
  used = cut["starts"][:, 0] >= 0
  assert used.sum() == len(windows.starts(height)) * len(windows.starts(width))
  for window, (y, x) in zip(cut["image"][used], cut["starts"][used], strict=True):
    turned = window[:, ::-1] if flip else window
    for i in range(16):
      for j in range(16):
        inside = 0 <= y + i < height and 0 <= x + j < width
        expected = whole[y + i, x + j] if inside else FILL
        np.testing.assert_array_equal(turned[i, j], expected)


def test_settings_that_cannot_be():
  with pytest.raises(
    InputError, match=r"gaps between windows: expected at most 16 pixels, .* got 17"
  ):
    Windows(16, 17, scalings((16, 16)), FILL)
  with pytest.raises(InputError, match=r"positive numbers, at least one: got \(1.0, -1.0\)"):
    scalings((16, 16), (1.0, -1.0))


def test_previews_are_pixels_of_the_mask():
  rng = np.random.default_rng(0)
  for size in ((500, 333), (40, 90), (192, 192)):
    classes = rng.integers(0, 9, (1, 512, 400), dtype=np.uint8)
    found = take_preview(jnp.asarray(classes), jnp.asarray([size]))[0]
    rows, columns = preview_grid(size)
    assert max(len(rows), len(columns)) == SIDE
    np.testing.assert_array_equal(
      found[: len(rows), : len(columns)], classes[0][np.ix_(rows, columns)]
    )
    assert rows[-1] == pytest.approx(size[0], abs=max(size) / SIDE + 1)


def test_images_stay_on_their_devices():
  """Windows and scores of images that are spread over devices do not come together on each."""
  spread = batch_sharding(make_mesh(jax.devices()[:4]))
  batch = {
    name: jax.ShapeDtypeStruct((4, *field.shape), field.dtype, sharding=spread)
    for name, field in WINDOWS.fields.items()
  }

  def run(batch):
    scores = score_windows(coarse_scores, batch, WINDOWS)
    return classify_pixels(scores, batch, WINDOWS, room((32, 50)))[0]

  program = jax.jit(run, out_shardings=spread).lower(batch).compile().as_text()
  moved = re.findall(r"= (\S+) (?:all-gather|all-reduce|all-to-all|collective-permute)\(", program)
  assert all(re.match(r"\w+\[\]", shape) for shape in moved), moved
