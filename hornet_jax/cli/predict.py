"""`predict IMAGE...`: classes and probabilities of image files."""

import argparse
import json

import jax
import numpy as np

from hornet_jax.cli.arguments import positive_int
from hornet_jax.train.weights import Trained, load

_BATCH_SIZE = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files of any size")
  parser.add_argument("--workdir", required=True, help="of a trained run, or a file of `export`")
  parser.add_argument(
    "--checkpoint", default="last", help="last, best (of those kept) or a step (default: last)"
  )
  parser.add_argument("--top", type=positive_int, default=3, help="classes to show (default: 3)")
  parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
  trained = load(args.workdir, checkpoint=args.checkpoint)
  class_names = trained.preprocessing.class_names
  results = []
  for path, row in zip(args.images, _probabilities(trained, args.images).tolist(), strict=True):
    best = sorted(range(len(row)), key=lambda k: -row[k])[: args.top]
    top = [{"class": class_names[k], "probability": row[k]} for k in best]
    results.append({"image": path, "top": top})
  if args.json:
    print(json.dumps(results, indent=2))
  else:
    for result in results:
      listed = "  ".join(f"{t['class']} {100 * t['probability']:.1f} %" for t in result["top"])
      print(f"{result['image']}: {listed}")
  return 0


def _probabilities(trained: Trained, paths: list[str]) -> np.ndarray:
  """softmax of the logits, [N, K]."""

  @jax.jit
  def classify(params, images):
    return jax.nn.softmax(trained.model.apply({"params": params}, images)[0])

  # Batches of one size: one compilation, bounded memory, however many images.
  size = min(len(paths), _BATCH_SIZE)
  results = []
  for start in range(0, len(paths), size):
    images = trained.preprocessing(paths[start : start + size])
    padding = np.zeros((size - len(images), *images.shape[1:]), images.dtype)
    results.append(classify(trained.params, np.concatenate([images, padding]))[: len(images)])
  return np.concatenate(results)
