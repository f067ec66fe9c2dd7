"""This module makes pictures as text: line charts as inline SVG, others as PNG data URIs.

Equal input gives equal bytes. Nothing here touches pyplot or its global figures.
"""

import base64
import dataclasses
import html
import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator, NullFormatter

DIVERGING = "RdBu_r"
SEQUENTIAL = "viridis"
MAX_POINTS = 2000
MAX_PICTURE_SIDE = 112  # pixels
FEW_POINTS = 40  # up to here every point of a curve gets a dot


@dataclasses.dataclass(frozen=True)
class Line:
  """A `Line` is one curve of a chart.

  Attributes:
    label: name in the legend; empty for none.
    steps: training steps [N], ascending.
    values: values [N], all finite.
    color: colour of the curve, such as `"#2563eb"`.
  """

  label: str
  steps: np.ndarray
  values: np.ndarray
  color: str


def line_chart(
  lines: Sequence[Line],
  description: str,
  height: float = 2.7,
  percent: bool = False,
  log_if_wide: bool = False,
) -> str:
  """Draws curves over training steps as inline SVG that takes its font from the page.

  Args:
    lines: curves to draw; those without points are left out.
    description: text that is read out instead of the picture; no two charts of a page may share it.
    height: height of the chart in inches, beside a width of 4.6.
    percent: whether values are fractions to be labelled as percentages.
    log_if_wide: whether the vertical axis is logarithmic where all values are positive
      and span more than two decades.

  Returns:
    The `<svg>` element, or an empty string if no curve has a point.
  """
  lines = [line for line in lines if len(line.values)]
  if not lines:
    return ""
  style = {
    "axes.edgecolor": "#a1a1aa",
    "axes.labelcolor": "#52525b",
    "font.size": 9,
    "xtick.color": "#52525b",
    "ytick.color": "#52525b",
  }
  with matplotlib.rc_context(style):
    figure = Figure(figsize=(4.6, height), layout="constrained")
    axes = figure.add_subplot()
    for line in lines:
      steps, values = thin(line.steps, line.values)
      few = len(values) <= FEW_POINTS
      axes.plot(
        steps,
        values,
        label=line.label,
        color=line.color,
        linewidth=1.4 if few else 1.1,
        marker="o" if few else None,
        markersize=2.5,
      )
    lowest = min(line.values.min() for line in lines)
    highest = max(line.values.max() for line in lines)
    if 0 < 100 * lowest < highest and log_if_wide:
      axes.set_yscale("log")
      axes.yaxis.set_minor_formatter(NullFormatter())
    else:
      axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(
      FuncFormatter(lambda value, _: f"{100 * value:g}%" if percent else f"{value:g}")
    )
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    first = min(line.steps[0] for line in lines)
    last = max(line.steps[-1] for line in lines)
    if first == last:
      axes.set_xlim(first - 1, last + 1)  # else around fractions of the only step
    axes.set_xlabel("step")
    axes.grid(color="#e4e4e7", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    if any(line.label for line in lines):
      # Above the axes, where it covers no curve.
      axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=len(lines),
        frameon=False,
        borderaxespad=0,
        columnspacing=1.5,
        handlelength=1.6,
      )
    return inline_svg(figure, description)


def inline_svg(figure: Figure, description: str) -> str:
  """Turns a figure into an `<svg>` element that takes its font from the page.

  Args:
    figure: figure of matplotlib.
    description: text that is read out instead of the picture; no two of a page may share it.
  """
  buffer = io.StringIO()
  with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": description}):
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
  return _inline(buffer.getvalue(), description)


def thin(
  steps: np.ndarray, values: np.ndarray, limit: int = MAX_POINTS
) -> tuple[np.ndarray, np.ndarray]:
  """Thins a long curve out to about `limit` points that look the same.

  The curve is cut into limit / 2 runs of neighbours, and the smallest and the largest
  value of each run are kept at their steps, so that no spike is lost. The first and
  the last point always stay.

  Args:
    steps: steps [N].
    values: values [N], all finite.
    limit: number of points up to which a curve stays as it is.

  Returns:
    Steps and values, at most limit + 2 of each.
  """
  if len(values) <= limit:
    return steps, values
  kept = {0, len(values) - 1}
  for run in np.array_split(np.arange(len(values)), limit // 2):
    kept |= {int(run[values[run].argmin()]), int(run[values[run].argmax()])}
  order = sorted(kept)
  return steps[order], values[order]


def picture(image: UInt8[np.ndarray, "H W C"], max_side: int = MAX_PICTURE_SIDE) -> str:
  """Encodes an image as a PNG data URI.

  One channel is drawn in grey, two likewise, of the first; of more the first three are colours.

  Args:
    image: pixels.
    max_side: pixels a side at most; larger images are averaged.
  """
  image = image[..., :3] if image.shape[2] >= 3 else image[..., [0, 0, 0]]
  factor = -(-max(image.shape[:2]) // max_side)
  if factor > 1:
    h, w = (side // factor for side in image.shape[:2])
    blocks = image[: h * factor, : w * factor].reshape(h, factor, w, factor, 3)
    image = blocks.mean(axis=(1, 3)).round().astype(np.uint8)
  return _png(image)


def tile(values: Float[np.ndarray, "h w"], limit: float, signed: bool) -> str:
  """Encodes a small array as a PNG data URI, one pixel an entry, for the page to enlarge.

  Args:
    values: array to colour; entries that are not finite are drawn as 0.
    limit: value of the last colour; larger ones get the same colour.
    signed: whether colours run over [-limit, limit] and not over [0, limit].
  """
  values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0) / limit
  return _png(_colors(values / 2 + 0.5 if signed else values, signed))


def color_strip(signed: bool) -> str:
  """Encodes the colours of `tile`, left to right, as a PNG data URI one pixel high."""
  return _png(_colors(np.linspace(0, 1, 64)[None], signed))


def _colors(fractions: np.ndarray, signed: bool) -> np.ndarray:
  """Colours fractions [h, w] in [0, 1], uint8 [h, w, 3]; others get the colours of the ends."""
  colormap = matplotlib.colormaps[DIVERGING if signed else SEQUENTIAL]
  return colormap(np.clip(fractions, 0, 1), bytes=True)[..., :3]


def _png(pixels: np.ndarray) -> str:
  # matplotlib would sign every picture with its version.
  metadata: dict[str, Any] = {"Software": None}
  buffer = io.BytesIO()
  imsave(buffer, pixels, format="png", metadata=metadata)
  return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _inline(svg: str, description: str) -> str:
  """Turns matplotlib's SVG document into an element of an HTML page.

  This drops the prolog, the metadata (which names outside addresses), the style sheet
  (which would apply to the whole page), the fixed size, and the names of groups,
  which would occur once a chart. Other names are hashes of what they stand for.
  """
  svg = svg[svg.index("<svg") :].strip()
  svg = re.sub(r"<(metadata|style)\b.*?</\1>|<!--.*?-->", "", svg, flags=re.DOTALL)
  svg = re.sub(r'(<g) id="[^"]*"', r"\1", svg)
  box = re.search(r'viewBox="[^"]*"', svg)
  assert box is not None
  # The page's parser knows the namespaces of an inline <svg> and needs no declaration.
  head = f'<svg role="img" aria-label="{html.escape(description)}" {box.group()}>'
  svg = head + svg[svg.index(">") + 1 :]
  return re.sub(r"\s*\n\s*", "\n", svg)
