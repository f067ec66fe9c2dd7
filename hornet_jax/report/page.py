"""The report: what a run reached, how it got there and what it learned, on one page."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hornet_jax.cost import StageCost, stage_costs
from hornet_jax.models import HorNet
from hornet_jax.report import figures
from hornet_jax.report.figures import Line
from hornet_jax.report.template import render_template

MAX_MATRIX_CLASSES = 30
MAX_PAIRS = 20
MAX_MISTAKES = 24
MAX_CHANNELS = 48
TILE_SIDE = 70  # pixels on the page, about
# Colours of the curves: training, evaluation of the weights, of their moving average.
TRAIN, RAW, EMA = "#94a3b8", "#2563eb", "#d97706"
UNKNOWN = "\N{EN DASH}"


@dataclasses.dataclass(frozen=True)
class Report:
  """Everything that the page shows.

  Attributes:
    title: heading, such as `"hornet_micro_7x7 on digits"`.
    command: exact command line of the run.
    versions: of the software, by name.
    device: such as `"1 x cpu"`.
    config: the whole configuration as JSON text.
    model: the architecture.
    image_size: side of the evaluated images, in pixels.
    params: nested dictionary of numpy arrays, the moving average (EMA) of the weights.
    records: the logged metrics. Each has "step"; training records have "train/loss",
      "train/learning_rate", "train/grad_norm" and "train/images_per_second", evaluation
      records "eval/loss", "eval/top1" and "eval/top5" and the same under "eval_ema/" (of
      the EMA weights), accuracies as fractions. Keys may be missing and values NaN; of
      two records of one step the later counts.
    seconds: wall-clock time of training, over all starts.
    class_names: K names.
    labels: [N] true classes of the evaluation set.
    predictions: [N] classes predicted with the EMA weights.
    confidences: [N] probabilities of the predicted classes.
    image_of: index of an evaluation example -> its uint8 image [H, W, 3].
  """

  title: str
  command: str
  versions: dict[str, str]
  device: str
  config: str
  model: HorNet
  image_size: int
  params: Any
  records: list[dict[str, Any]]
  seconds: float
  class_names: list[str]
  labels: np.ndarray
  predictions: np.ndarray
  confidences: np.ndarray
  image_of: Callable[[int], np.ndarray]


def render(report: Report) -> str:
  """The page as HTML text that needs no other file and no network.

  Equal reports give equal text.
  """
  costs = stage_costs(report.model, report.image_size)
  total = StageCost(
    name="total",
    shape=(),
    params=sum(cost.params for cost in costs),
    macs=sum(cost.macs for cost in costs),
    spectral_macs=sum(cost.spectral_macs for cost in costs),
  )
  wrong = report.labels != report.predictions
  return render_template(
    "page.html.j2",
    report=report,
    headline=_headline(report, total),
    charts=_charts(report.records),
    not_finite=_not_finite(report.records),
    examples=len(wrong),
    wrong=int(wrong.sum()),
    matrix=_matrix(report) if len(report.class_names) <= MAX_MATRIX_CLASSES else None,
    pairs=_pairs(report),
    mistakes=_mistakes(report),
    kernels=_kernels(report),
    filters=_filters(report),
    strips={signed: figures.color_strip(signed) for signed in (True, False)},
    costs=costs,
    total=total,
  )


def _headline(report: Report, total: StageCost) -> list[dict[str, str]]:
  """The key figures: label, value and a note on each."""

  def accuracy(prefix: str, label: str) -> dict[str, str]:
    steps, values = _curve(report.records, f"{prefix}/top1")
    if not len(values):
      return {"label": label, "value": UNKNOWN, "note": "not evaluated"}
    note = f"step\N{NO-BREAK SPACE}{int(steps[-1]):,}"
    top5 = _curve(report.records, f"{prefix}/top5")[1]
    if len(top5) and len(report.class_names) > 5:
      note = f"top-5\N{NO-BREAK SPACE}{_percent(top5[-1])}, {note}"
    return {"label": label, "value": _percent(values[-1]), "note": note}

  speeds = _curve(report.records, "train/images_per_second")[1]
  size = f"at {report.image_size}\N{MULTIPLICATION SIGN}{report.image_size}"
  if total.spectral_macs:
    size = f"and {_compact(total.spectral_macs)} spectral, {size}"
  return [
    accuracy("eval_ema", "Accuracy, EMA"),
    accuracy("eval", "Accuracy, raw"),
    {"label": "Parameters", "value": _compact(total.params), "note": f"{total.params:,}"},
    {"label": "MACs per image", "value": _compact(total.macs), "note": size},
    {"label": "Training time", "value": _duration(report.seconds), "note": "over all starts"},
    {
      "label": "Images per second",
      "value": f"{np.median(speeds):,.0f}" if len(speeds) else UNKNOWN,
      "note": f"median, {report.device}",
    },
  ]


def _charts(records: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
  """Title and SVG of every chart; the SVG is empty where nothing was logged."""

  def line(label: str, key: str, color: str) -> Line:
    return Line(label, *_curve(records, key), color)

  loss = [
    line("train", "train/loss", TRAIN),
    line("eval, raw", "eval/loss", RAW),
    line("eval, EMA", "eval_ema/loss", EMA),
  ]
  accuracy = [
    line("eval, raw", "eval/top1", RAW),
    line("eval, EMA", "eval_ema/top1", EMA),
  ]
  learning_rate = [line("", "train/learning_rate", TRAIN)]
  grad_norm = [line("", "train/grad_norm", TRAIN)]
  return [
    {"title": "Loss", "svg": figures.line_chart(loss, "Loss over steps", log_if_wide=True)},
    {
      "title": "Accuracy",
      "svg": figures.line_chart(accuracy, "Accuracy over steps", percent=True),
    },
    {
      "title": "Learning rate",
      "svg": figures.line_chart(learning_rate, "Learning rate over steps", height=1.6),
    },
    {
      "title": "Gradient norm",
      "svg": figures.line_chart(
        grad_norm, "Gradient norm over steps", height=1.6, log_if_wide=True
      ),
    },
  ]


def _curve(records: Sequence[dict[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
  """Steps and values [n], ascending, of the records where `key` is finite."""
  # A restarted run repeats the steps since its checkpoint: the later record counts.
  values = {record["step"]: record[key] for record in records if key in record}
  steps = sorted(step for step, value in values.items() if math.isfinite(value))
  return np.array(steps, np.float64), np.array([values[step] for step in steps], np.float64)


def _not_finite(records: Sequence[dict[str, Any]]) -> int:
  """Number of logged values that no chart can show."""
  return sum(not math.isfinite(value) for record in records for value in record.values())


def _matrix(report: Report) -> list[dict[str, Any]]:
  """Rows of the confusion matrix: class, cells with count and shade, total, recall."""
  size = len(report.class_names)
  counts = np.zeros((size, size), int)
  np.add.at(counts, (report.labels, report.predictions), 1)
  rows = []
  for i, row in enumerate(counts.tolist()):
    total = sum(row)
    cells = [
      # The root lets a single mistake among many examples be seen.
      {"count": count, "right": i == j, "shade": f"{math.sqrt(count / max(total, 1)):.2f}"}
      for j, count in enumerate(row)
    ]
    recall = _percent(row[i] / total) if total else UNKNOWN
    rows.append({"name": report.class_names[i], "cells": cells, "total": total, "recall": recall})
  return rows


def _pairs(report: Report) -> list[dict[str, Any]]:
  """The most frequent (true, predicted) pairs of different classes, most frequent first."""
  wrong = report.labels != report.predictions
  found = np.stack([report.labels[wrong], report.predictions[wrong]], axis=1)  # [n, 2]
  pairs, counts = np.unique(found, axis=0, return_counts=True)
  order = np.argsort(-counts, kind="stable")[:MAX_PAIRS]
  return [
    {
      "true": report.class_names[pairs[i, 0]],
      "predicted": report.class_names[pairs[i, 1]],
      "count": int(counts[i]),
      "share": _percent(counts[i] / np.sum(report.labels == pairs[i, 0])),
    }
    for i in order
  ]


def _mistakes(report: Report) -> list[dict[str, Any]]:
  """The wrong predictions of highest confidence, highest first."""
  wrong = np.flatnonzero(report.labels != report.predictions)
  # NaN sorts last.
  order = wrong[np.argsort(-report.confidences[wrong], kind="stable")][:MAX_MISTAKES]
  mistakes = []
  for i in order.tolist():
    image = report.image_of(i)
    mistakes.append(
      {
        "index": i,
        "picture": figures.picture(image),
        "coarse": max(image.shape[:2]) < 64,
        "true": report.class_names[report.labels[i]],
        "predicted": report.class_names[report.predictions[i]],
        "confidence": _percent(float(report.confidences[i])),
      }
    )
  return mistakes


def _kernels(report: Report) -> list[dict[str, Any]]:
  """Depthwise kernels of the last block of every stage that has them."""
  return [
    _tiles(stage, weights["kernel"][:, :, 0], signed=True)
    for stage, weights in _spatial_filters(report)
    if "kernel" in weights
  ]


def _filters(report: Report) -> list[dict[str, Any]]:
  """Magnitudes of the global filters of the last block of every stage that has them."""
  panels = []
  for stage, weights in _spatial_filters(report):
    if "filter_re" in weights:
      magnitudes = np.hypot(weights["filter_re"], weights["filter_im"])  # [h, w, C]
      panels.append(_tiles(stage, np.fft.fftshift(magnitudes, axes=0), signed=False))
  return panels


def _spatial_filters(report: Report) -> list[tuple[int, dict[str, Any]]]:
  """Number of each stage and the spatial filter of its last block."""
  return [
    (s, report.params[f"stage_{s}"][f"block_{depth - 1}"]["gnconv"]["dwconv"])
    for s, depth in enumerate(report.model.depths)
  ]


def _tiles(stage: int, values: np.ndarray, signed: bool) -> dict[str, Any]:
  """A panel of channels [h, w, C] in one scale of colours, which 1 % of entries exceed."""
  h, w, channels = values.shape
  shown = np.unique(np.linspace(0, channels - 1, min(channels, MAX_CHANNELS)).round().astype(int))
  sizes = np.abs(values[:, :, shown])
  sizes = sizes[np.isfinite(sizes)]
  limit = float(np.percentile(sizes, 99)) if sizes.size else 0.0
  limit = limit or 1.0  # of filters that are all zero
  pixel = max(1, round(TILE_SIDE / max(h, w)))
  return {
    "stage": stage,
    "size": f"{h}\N{MULTIPLICATION SIGN}{w}",
    "channels": channels,
    "limit": f"{limit:.2g}",
    "width": w * pixel,
    "height": h * pixel,
    "tiles": [
      {"channel": c, "picture": figures.tile(values[:, :, c], limit, signed)}
      for c in shown.tolist()
    ],
  }


def _percent(fraction: float) -> str:
  return f"{100 * fraction:.1f}%" if math.isfinite(fraction) else UNKNOWN


def _compact(count: int) -> str:
  for factor, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
    if count >= factor:
      return f"{count / factor:.1f} {unit}"
  return str(count)


def _duration(seconds: float) -> str:
  if not math.isfinite(seconds):
    return UNKNOWN
  if seconds < 60:
    return f"{seconds:.1f} s"
  minutes, rest = divmod(round(seconds), 60)
  if minutes < 60:
    return f"{minutes} min {rest:02d} s"
  return f"{minutes // 60} h {minutes % 60:02d} min"
