"""What a report shows of a classifier: its confusions and its most confident mistakes."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hornet_jax.report import figures
from hornet_jax.report.text import UNKNOWN, percent
from hornet_jax.train.presentation import Section

MAX_MATRIX_CLASSES = 30
MAX_PAIRS = 20
MAX_MISTAKES = 24


@dataclasses.dataclass(frozen=True)
class ClassifiedExamples:
  """What was predicted of an evaluation split.

  Attributes:
    class_names: K names.
    labels: [N] true classes.
    predictions: [N] classes predicted with the EMA weights.
    confidences: [N] probabilities of the predicted classes.
    mean_class_accuracy: mean of the accuracies of the classes.
    image_of: index of an example -> its uint8 image [H, W, 3].
  """

  class_names: Sequence[str]
  labels: np.ndarray
  predictions: np.ndarray
  confidences: np.ndarray
  mean_class_accuracy: float
  image_of: Callable[[int], np.ndarray]


def classification_section(examples: ClassifiedExamples) -> Section:
  """Makes the section of confusions and mistakes."""
  wrong = examples.labels != examples.predictions
  is_small = len(examples.class_names) <= MAX_MATRIX_CLASSES
  values = {
    "class_names": examples.class_names,
    "examples": len(wrong),
    "wrong": int(wrong.sum()),
    "mean_class_accuracy": percent(examples.mean_class_accuracy),
    "matrix": _matrix(examples) if is_small else None,
    "pairs": _pairs(examples),
    "mistakes": _mistakes(examples),
  }
  return Section("classification.html.j2", values)


def _matrix(examples: ClassifiedExamples) -> list[dict[str, Any]]:
  """Rows of the confusion matrix: class, cells with count and shade, total, recall."""
  size = len(examples.class_names)
  counts = np.zeros((size, size), int)
  np.add.at(counts, (examples.labels, examples.predictions), 1)
  rows = []
  for i, row in enumerate(counts.tolist()):
    total = sum(row)
    cells = [
      # The root lets a single mistake among many examples be seen.
      {"count": count, "right": i == j, "shade": f"{math.sqrt(count / max(total, 1)):.2f}"}
      for j, count in enumerate(row)
    ]
    recall = percent(row[i] / total) if total else UNKNOWN
    rows.append({"name": examples.class_names[i], "cells": cells, "total": total, "recall": recall})
  return rows


def _pairs(examples: ClassifiedExamples) -> list[dict[str, Any]]:
  """The most frequent (true, predicted) pairs of different classes, most frequent first."""
  wrong = examples.labels != examples.predictions
  found = np.stack([examples.labels[wrong], examples.predictions[wrong]], axis=1)  # [n, 2]
  pairs, counts = np.unique(found, axis=0, return_counts=True)
  order = np.argsort(-counts, kind="stable")[:MAX_PAIRS]
  return [
    {
      "true": examples.class_names[pairs[i, 0]],
      "predicted": examples.class_names[pairs[i, 1]],
      "count": int(counts[i]),
      "share": percent(counts[i] / np.sum(examples.labels == pairs[i, 0])),
    }
    for i in order
  ]


def _mistakes(examples: ClassifiedExamples) -> list[dict[str, Any]]:
  """The wrong predictions of highest confidence, highest first."""
  wrong = np.flatnonzero(examples.labels != examples.predictions)
  # NaN sorts last.
  order = wrong[np.argsort(-examples.confidences[wrong], kind="stable")][:MAX_MISTAKES]
  mistakes = []
  for i in order.tolist():
    image = examples.image_of(i)
    mistakes.append(
      {
        "index": i,
        "picture": figures.picture(image),
        "coarse": max(image.shape[:2]) < 64,
        "true": examples.class_names[examples.labels[i]],
        "predicted": examples.class_names[examples.predictions[i]],
        "confidence": percent(float(examples.confidences[i])),
      }
    )
  return mistakes
