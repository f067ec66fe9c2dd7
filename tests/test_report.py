"""The report is one safe, self-contained, reproducible page that shows what it says."""

import base64
import dataclasses
import io
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.image import imread

from hornet_jax import create_model
from hornet_jax.cost import stage_costs
from hornet_jax.report import Report, figures, render
from hornet_jax.report.classification import ClassifiedExamples, classification_section
from hornet_jax.tasks import Classification

EXAMPLES = 200


def random_params(model, image_size):
  images = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
  shapes = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(leaf.dtype), shapes)


def records(steps=60):
  training = [
    {
      "step": step,
      "train/loss": 2.3 * math.exp(-step / 20),
      "train/learning_rate": 1e-3 * step / steps,
      "train/grad_norm": 1.0 + step % 3,
      "train/images_per_second": 800.0,
    }
    for step in range(1, steps + 1)
  ]
  evaluation = [
    {"step": step, "eval/loss": 0.5, "eval/top1": 0.25, "eval_ema/loss": 0.4, "eval_ema/top1": 0.75}
    for step in range(steps // 3, steps + 1, steps // 3)
  ]
  return training + evaluation


def make_report(name="hornet_micro_gf", num_classes=10, **changes):
  """A report of which `changes` are replaced; examples 3, 5 and 8 are mistakes."""
  model = create_model(name, num_classes=num_classes)
  labels = np.arange(EXAMPLES) % num_classes
  predictions = labels.copy()
  predictions[[3, 5, 8]] = (labels[[3, 5, 8]] + 1) % num_classes
  confidences = np.full(EXAMPLES, 0.99)
  confidences[[3, 5, 8]] = [0.3, 0.9, 0.6]
  examples = ClassifiedExamples(
    class_names=[f"class{i}" for i in range(num_classes)],
    labels=labels,
    predictions=predictions,
    confidences=confidences,
    mean_class_accuracy=0.625,
    image_of=lambda index: np.full((32, 32, 3), index, np.uint8),
  )
  of_examples = {name: changes.pop(name) for name in vars(examples) if name in changes}
  examples = dataclasses.replace(examples, **of_examples)
  report = Report(
    title=f"{name} on digits",
    command="python -m hornet_jax.cli train --workdir=run",
    versions={"python": "3.11.7", "jax": "0.4.35"},
    device="1 x cpu",
    config='{"seed": 0}',
    model=model,
    image_size=(32, 32),
    channels=3,
    params=random_params(model, 32),
    has_average=True,
    records=records(),
    seconds=431.2,
    scores=Classification.scores,
    sections=[classification_section(examples)],
  )
  return dataclasses.replace(report, **changes)


def sections(page):
  """Section name -> its HTML."""
  return dict(re.findall(r'<section id="(\w+)">(.*?)</section>', page, flags=re.DOTALL))


def pixels(data_uri):
  """A PNG data URI as [H, W, channels] in [0, 1]."""
  return imread(io.BytesIO(base64.b64decode(data_uri.split(",", 1)[1])))


def test_page_needs_nothing_else():
  page = render(make_report())
  without_namespaces = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", page)
  assert not re.search(r"https?:|url\((?!#)|@import|<script|<link", without_namespaces)
  targets = re.findall(r"""\b(?:src|href|srcset|data)\s*=\s*["']([^"']*)""", page)
  assert targets
  assert all(target.startswith(("data:image/png;base64,", "#")) for target in targets)
  assert len(page) < 1_500_000


@pytest.mark.parametrize("num_classes", [10, 40])
def test_the_mean_of_the_classes_is_told(num_classes):
  page = render(make_report(num_classes=num_classes))
  text = " ".join(sections(page)["confusion"].split())
  assert "mean of the accuracies of the classes is 62.5%." in text


def test_references_within_the_page_are_unambiguous():
  page = render(make_report())
  names = re.findall(r'\bid="([^"]*)"', page)
  assert len(names) == len(set(names))
  used = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', page)
  assert used
  assert {a or b for a, b in used} <= set(names)


def test_sections_follow_the_model():
  common = ["curves", "confusion", "mistakes"]
  last = ["stages", "made"]
  mixed = sections(render(make_report("hornet_micro_gf")))
  assert list(mixed) == [*common, "kernels", "filters", *last]
  assert re.findall(r"Stage \d", mixed["kernels"]) == ["Stage 0", "Stage 1"]
  assert re.findall(r"Stage \d", mixed["filters"]) == ["Stage 2", "Stage 3"]
  local = sections(render(make_report("hornet_micro_7x7")))
  assert list(local) == [*common, "kernels", *last]
  # gnConv of order 2 filters C/2 + C of C = 16 channels; of the later stages 48 are drawn.
  assert local["kernels"].count('alt="channel') == 24 + 48 + 48 + 48


def test_outside_text_is_escaped():
  evil = "<script>alert('x')</script>"
  page = render(
    make_report(
      title=evil,
      command=evil,
      versions={evil: evil},
      device=evil,
      config=evil,
      class_names=[evil, *map(str, range(1, 10))],
    )
  )
  assert "<script" not in page
  assert page.count("&lt;script&gt;") >= 8


def test_rendering_is_deterministic():
  assert render(make_report()) == render(make_report())


def test_headline():
  report = make_report()
  macs = sum(cost.macs for cost in stage_costs(report.model, 32))
  page = render(report)
  headline = re.findall(r"<dt>(.*?)</dt>\s*<dd class=\"value\">(.*?)</dd>", page)
  assert headline == [
    ("Accuracy, EMA", "75.0%"),
    ("Accuracy, raw", "25.0%"),
    ("Parameters", "363.5 k"),  # 491,196 less 990 of 1000 classes, 129 each
    ("MACs per image", f"{macs / 1e6:.1f} M"),
    ("Training time", "7 min 11 s"),
    ("Images per second", "800"),
  ]


def test_most_confident_mistake_comes_first():
  mistakes = sections(render(make_report()))["mistakes"]
  assert re.findall(r'alt="evaluation example (\d+)"', mistakes) == ["5", "8", "3"]
  assert re.findall(r"(\d\d\.\d)%", mistakes) == ["90.0", "60.0", "30.0"]
  assert re.findall(r"<b>(\w+)</b>", mistakes) == ["class6", "class9", "class4"]
  # Every example's image is filled with its own number.
  images = [pixels(uri) for uri in re.findall(r'src="([^"]*)"', mistakes)]
  np.testing.assert_allclose([image[0, 0, 0] * 255 for image in images], [5, 8, 3], atol=1e-3)


def test_mistakes_are_limited():
  labels = np.zeros(EXAMPLES, int)
  page = render(make_report(labels=labels, predictions=labels + 1))
  assert sections(page)["mistakes"].count("<figure") == 24
  assert "(24 of 200)" in page


def test_no_mistakes():
  labels = np.arange(EXAMPLES) % 10
  mistakes = sections(render(make_report(predictions=labels)))["mistakes"]
  assert "There are none: all 200" in mistakes
  assert "<img" not in mistakes


def test_confusion_matrix_counts():
  confusion = sections(render(make_report()))["confusion"]
  rows = re.findall(r"<tr>(.*?)</tr>", confusion, flags=re.DOTALL)[1:]
  cells = [re.findall(r'<td class="cell[^>]*>(\d*)</td>', row) for row in rows]
  counts = np.array([[int(cell or 0) for cell in row] for row in cells])
  expected = 20 * np.eye(10, dtype=int)
  for label in (3, 5, 8):
    expected[label, [label, label + 1]] = 19, 1
  np.testing.assert_array_equal(counts, expected)


def test_many_classes_get_a_table_of_pairs():
  labels = np.repeat(np.arange(40), 5)
  predictions = labels.copy()
  predictions[35:38] = 9  # three of the five of class 7
  predictions[0] = 1
  page = render(make_report(num_classes=40, labels=labels, predictions=predictions))
  confusion = sections(page)["confusion"]
  assert 'class="matrix' not in confusion
  rows = re.findall(r"<tr>(.*?)</tr>", confusion, flags=re.DOTALL)[1:]
  cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]
  assert cells == [["class7", "class9", "3", "60.0%"], ["class0", "class1", "1", "20.0%"]]


def test_stage_table_has_totals():
  stages = sections(render(make_report()))["stages"]
  rows = re.findall(r"<tr>(.*?)</tr>", stages, flags=re.DOTALL)[1:]
  numbers = [
    [int(n.replace(",", "")) for n in re.findall(r'class="number">([\d,]+)', row)] for row in rows
  ]
  assert len(numbers) == 10  # stem, four stages, three downsamplings, head, total
  np.testing.assert_array_equal(np.sum(numbers[:-1], axis=0), numbers[-1])


def test_values_that_are_not_finite():
  broken = [{"step": 1, "train/loss": math.nan, "eval/top1": math.inf}, {"step": 2}]
  page = render(make_report(records=broken, confidences=np.full(EXAMPLES, np.nan)))
  assert "2 logged\n    values are not finite" in page
  assert sections(page)["curves"].count("Nothing was logged.") == 4
  partly = render(make_report(records=[*broken, *records()]))
  assert sections(partly)["curves"].count("<svg") == 4


def test_weights_that_are_not_finite():
  report = make_report()
  params = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), report.params)
  assert "filters" in sections(render(dataclasses.replace(report, params=params)))


def test_repeated_steps_show_the_later_record():
  again = [*records(), {"step": 60, "eval_ema/top1": 0.5}]
  assert '<dd class="value">50.0%</dd>' in render(make_report(records=again))


def test_long_curves_are_thinned_out_but_keep_spikes():
  values = np.sin(np.arange(100_000) / 500)
  values[12_345] = 7.0
  steps, thinned = figures.thin(np.arange(100_000), values)
  assert len(steps) == len(thinned) <= 2002
  assert (steps[0], steps[-1], thinned.max()) == (0, 99_999, 7.0)
  assert np.all(np.diff(steps) > 0)
  np.testing.assert_array_equal(thinned, values[steps])


def test_only_wide_curves_get_a_logarithmic_axis():
  def chart(values, **options):
    line = figures.Line("loss", np.arange(len(values)), np.array(values), "#2563eb")
    svg = figures.line_chart([line], "loss", **options)
    return set(re.findall(r"<text[^>]*>(.*?)</text>", svg))

  assert {"0.1", "1", "10"} <= chart([20.0, 2.0, 0.1], log_if_wide=True)
  assert {"10", "15", "20"} <= chart([20.0, 2.0, 0.1])
  assert {"10", "15", "20"} <= chart([20.0, 2.0, 1.0], log_if_wide=True)


def test_kernel_colours_are_symmetric_about_zero():
  values = np.array([[-1.0, -0.5, 0.0, 0.5, 1.0]])
  red, _, blue, _ = np.moveaxis(pixels(figures.tile(values, 1.0, signed=True)), -1, 0)
  assert red[0, 2] == pytest.approx(blue[0, 2], abs=0.01)  # zero is grey
  assert red[0, 4] > blue[0, 4] + 0.2
  assert blue[0, 0] > red[0, 0] + 0.2
  beyond = pixels(figures.tile(2 * values, 1.0, signed=True))
  np.testing.assert_array_equal(beyond[0, 0], beyond[0, 1])


def test_filters_have_frequency_zero_in_the_middle():
  report = make_report()
  weights = report.params["stage_2"]["block_1"]["gnconv"]["dwconv"]
  for part in ("filter_re", "filter_im"):
    weights[part][:] = 0.0
    weights[part][0, 0] = 1.0
  filters = sections(render(report))["filters"]
  first = pixels(re.findall(r'<img src="([^"]*)" width', filters)[0])
  bright = first.sum(axis=-1) > 2
  assert np.argwhere(bright).tolist() == [[2, 0]]


def test_large_pictures_are_reduced():
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (225, 300, 3), np.uint8)
  reduced = pixels(figures.picture(image))
  assert reduced.shape[:2] == (75, 100)
  expected = image[:3, :3].mean(axis=(0, 1)) / 255
  np.testing.assert_allclose(reduced[0, 0, :3], expected, atol=0.5 / 255 + 1e-6)
