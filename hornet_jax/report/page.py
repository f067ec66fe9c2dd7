"""This module makes the report: what a run reached, how it got there and what it learned."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hornet_jax.cost.model_work import StageCost, stage_costs
from hornet_jax.models import Architecture
from hornet_jax.models.api import Picture
from hornet_jax.report import figures
from hornet_jax.report.figures import Line
from hornet_jax.report.template import render_template
from hornet_jax.report.text import UNKNOWN, percent
from hornet_jax.train.presentation import Score, Section
from hornet_jax.train.ranking import EVAL, EVAL_EMA

MAX_CHANNELS = 48
TILE_SIDE = 70  # pixels on the page, about
# Colours of the curves: training, evaluation of the weights, of their moving average.
TRAIN, RAW, EMA = "#94a3b8", "#2563eb", "#d97706"


@dataclasses.dataclass(frozen=True)
class Report:
  """A `Report` holds everything that the page shows.

  Attributes:
    title: heading, such as `"hornet_micro_7x7 on digits"`.
    command: command line of the run, exactly.
    versions: versions of the software, by name.
    device: description of the devices, such as `"1 x cpu"`.
    config: configuration as JSON text.
    model: architecture.
    image_size: height and width of the images that it was trained on, the largest, in pixels.
    channels: number of their channels.
    params: nested dictionary of numpy arrays, the moving average (EMA) of the weights.
    has_average: whether this average is another than the weights themselves.
    records: logged metrics. Each has "step"; training records have "train/loss",
      "train/learning_rate", "train/grad_norm" and "train/images_per_second", evaluation
      records "eval/loss" and the scores under "eval/", and the same under "eval_ema/" (of
      the EMA weights). Keys may be missing and values NaN; of two records of one step the
      later counts.
    seconds: wall-clock time of training, over all starts.
    scores: numbers of an evaluation that the headline shows; the first is drawn.
    sections: sections that the task adds.
  """

  title: str
  command: str
  versions: dict[str, str]
  device: str
  config: str
  model: Architecture
  image_size: tuple[int, int]
  channels: int
  params: Any
  has_average: bool
  records: list[dict[str, Any]]
  seconds: float
  scores: Sequence[Score]
  sections: Sequence[Section] = ()


def render(report: Report) -> str:
  """Makes the page as HTML text that needs no other file and no network.

  Equal reports give equal text.
  """
  costs = stage_costs(report.model, report.image_size, report.channels)
  total = StageCost(
    name="total",
    shape=(),
    params=sum(cost.params for cost in costs),
    macs=sum(cost.macs for cost in costs),
    spectral_macs=sum(cost.spectral_macs for cost in costs),
  )
  pictures = report.model.pictures(report.params)
  return render_template(
    "page.html.j2",
    report=report,
    headline=_headline(report, total),
    charts=_charts(report),
    not_finite=_not_finite(report.records),
    kernels=_kernels(pictures),
    filters=_spectra(pictures),
    strips={signed: figures.color_strip(signed) for signed in (True, False)},
    costs=costs,
    total=total,
  )


def _headline(report: Report, total: StageCost) -> list[dict[str, str]]:
  """Lists the key figures: label, value and a note on each."""

  primary, *others = report.scores

  def reached(prefix: str, weights: str) -> dict[str, str]:
    label = f"{primary.meaning[0].upper()}{primary.meaning[1:]}{weights}"
    steps, values = _curve(report.records, f"{prefix}/{primary.name}")
    if not len(values):
      return {"label": label, "value": UNKNOWN, "note": "not evaluated"}
    notes = []
    for score in others:
      other = _curve(report.records, f"{prefix}/{score.name}")[1]
      if score.is_share and len(other):
        notes.append(f"{score.title}\N{NO-BREAK SPACE}{_shown(score, other[-1])}")
    notes.append(f"step\N{NO-BREAK SPACE}{int(steps[-1]):,}")
    return {"label": label, "value": _shown(primary, values[-1]), "note": ", ".join(notes)}

  speeds = _curve(report.records, "train/images_per_second")[1]
  size = "at {}\N{MULTIPLICATION SIGN}{}".format(*report.image_size)
  if total.spectral_macs:
    size = f"and {_compact(total.spectral_macs)} spectral, {size}"
  return [
    *([reached(EVAL_EMA, ", EMA")] if report.has_average else []),
    reached(EVAL, ", raw" if report.has_average else ""),
    {"label": "Parameters", "value": _compact(total.params), "note": f"{total.params:,}"},
    {"label": "MACs per image", "value": _compact(total.macs), "note": size},
    {"label": "Training time", "value": _duration(report.seconds), "note": "over all starts"},
    {
      "label": "Images per second",
      "value": f"{np.median(speeds):,.0f}" if len(speeds) else UNKNOWN,
      "note": f"median, {report.device}",
    },
  ]


def _shown(score: Score, value: float) -> str:
  return percent(value) if score.is_share else f"{value:.4g}"


def _charts(report: Report) -> list[dict[str, str]]:
  """Returns title and SVG of every chart; the SVG is empty where nothing was logged."""

  primary = report.scores[0]

  def line(label: str, key: str, color: str) -> Line:
    return Line(label, *_curve(report.records, key), color)

  def evaluated(name: str) -> list[Line]:
    if not report.has_average:
      return [line("eval", f"{EVAL}/{name}", RAW)]
    averaged = line("eval, EMA", f"{EVAL_EMA}/{name}", EMA)
    return [line("eval, raw", f"{EVAL}/{name}", RAW), averaged]

  loss = [line("train", "train/loss", TRAIN), *evaluated("loss")]
  scored = evaluated(primary.name)
  title = primary.meaning[0].upper() + primary.meaning[1:]
  learning_rate = [line("", "train/learning_rate", TRAIN)]
  grad_norm = [line("", "train/grad_norm", TRAIN)]
  return [
    {"title": "Loss", "svg": figures.line_chart(loss, "Loss over steps", log_if_wide=True)},
    {
      "title": title,
      "svg": figures.line_chart(scored, f"{title} over steps", percent=primary.is_share),
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
  """Returns steps and values [n], ascending, of the records where `key` is finite."""
  # A restarted run repeats the steps since its checkpoint: the later record counts.
  values = {record["step"]: record[key] for record in records if key in record}
  steps = sorted(step for step, value in values.items() if math.isfinite(value))
  return np.array(steps, np.float64), np.array([values[step] for step in steps], np.float64)


def _not_finite(records: Sequence[dict[str, Any]]) -> int:
  """Counts the logged values that no chart can show."""
  return sum(not math.isfinite(value) for record in records for value in record.values())


def _kernels(pictures: Sequence[Picture]) -> list[dict[str, Any]]:
  """Makes panels of weights over positions."""
  return [
    _tiles(picture.title, picture.values, signed=True)
    for picture in pictures
    if picture.kind == "kernel"
  ]


def _spectra(pictures: Sequence[Picture]) -> list[dict[str, Any]]:
  """Makes panels of magnitudes over frequencies; vertical frequency zero is in the middle."""
  return [
    _tiles(picture.title, np.fft.fftshift(picture.values, axes=0), signed=False)
    for picture in pictures
    if picture.kind == "spectrum"
  ]


def _tiles(title: str, values: np.ndarray, signed: bool) -> dict[str, Any]:
  """Makes a panel of channels [h, w, C] in one scale of colours, which 1 % of entries exceed."""
  h, w, channels = values.shape
  shown = np.unique(np.linspace(0, channels - 1, min(channels, MAX_CHANNELS)).round().astype(int))
  sizes = np.abs(values[:, :, shown])
  sizes = sizes[np.isfinite(sizes)]
  limit = float(np.percentile(sizes, 99)) if sizes.size else 0.0
  limit = limit or 1.0  # of filters that are all zero
  pixel = max(1, round(TILE_SIDE / max(h, w)))
  return {
    "title": title,
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
