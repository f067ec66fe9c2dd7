"""What a task shows to people: scores, sections of a report, captions and answers."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Score:
  """This says how people read one of the numbers that a metric computes.

  Attributes:
    name: its key.
    title: heading of a column.
    meaning: the word for it in a sentence.
    is_share: whether it is a fraction that is shown in percent.
  """

  name: str
  title: str
  meaning: str
  is_share: bool = False

  def text(self, metrics: Mapping[str, float], prefix: str = "") -> str:
    """Writes the number as people read it.

    Args:
      metrics: numbers by their keys.
      prefix: what stands before a slash and the key; empty for nothing.
    """
    value = metrics[f"{prefix}/{self.name}" if prefix else self.name]
    return f"{100 * value:.2f} %" if self.is_share else f"{value:.4f}"


@dataclasses.dataclass(frozen=True)
class Section:
  """This is a part of a report, between the curves and what the model learned.

  Attributes:
    template: file of `hornet_jax.report`, such as `"table.html.j2"`, or the absolute path of a
      Jinja template of one's own, such as `str(pathlib.Path(__file__).with_name("map.html.j2"))`.
    values: what the template shows, and calls by the name `it`; for `table.html.j2` the
      `name` of the section in links, its `title`, a sentence `text`, the `headings` of the columns
      and the `rows`, each with as many values.
  """

  template: str
  values: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Captions:
  """This says of the rows of a training batch what they are to teach.

  Attributes:
    summary: what the rows are, said after "The rows of the first training batches,": such as
      "as the model sees them.".
    note: sentence on this batch; may be empty.
    rows: names and what is written beside them, of each row.
    targets: picture of what each row is to teach, uint8 [H, W, 3], shown under its image; empty
      for none.
    colours: colour of each name in these pictures, as CSS writes it, such as "rgb(128, 0, 0)".
  """

  summary: str
  note: str
  rows: Sequence[Sequence[tuple[str, str]]]
  targets: Sequence[np.ndarray] = ()
  colours: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Answer:
  """An answer is what a task says of one image to a person, or to a program.

  Attributes:
    line: text for a terminal.
    record: the same for JSON.
    rows: the same for a table: none, one or several rows with the columns of
      `Task.answer_columns`. The image's path is put before each.
    pictures: pictures to be kept beside, by what they are, such as `mask`: uint8 [H, W] or
      [H, W, 3].
  """

  line: str
  record: Mapping[str, Any]
  rows: Sequence[Sequence[str | float | int]]
  pictures: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
