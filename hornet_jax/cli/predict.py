"""`predict IMAGE...`: classes and probabilities of image files."""

import argparse
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from etils import epath

from hornet_jax.cli.arguments import positive_int
from hornet_jax.data.decode import UndecodableImageError, decode, resize_and_center_crop
from hornet_jax.data.normalize import normalize
from hornet_jax.errors import InputError
from hornet_jax.train.checkpoint import load_params
from hornet_jax.train.experiment import build_model
from hornet_jax.train.workdir import load_class_names, load_config

_BATCH_SIZE = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files of any size")
  parser.add_argument("--workdir", required=True, help="of a trained run")
  parser.add_argument("--top", type=positive_int, default=3, help="classes to show (default: 3)")
  parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
  workdir = epath.Path(args.workdir)
  config, class_names = load_config(workdir), load_class_names(workdir)
  images = np.stack([_read(path, config["data"]) for path in args.images])
  _, _, ema_params = load_params(workdir / "checkpoints")
  probabilities = _probabilities(config, len(class_names), ema_params, images)

  results = []
  for path, row in zip(args.images, probabilities.tolist(), strict=True):
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


def _read(path: str, data: Mapping[str, Any]) -> np.ndarray:
  """The evaluation view of an image file, uint8 [S, S, 3]."""
  try:
    image = decode(pathlib.Path(path).read_bytes())
  except (OSError, UndecodableImageError) as error:
    raise InputError(f"image {path!r} cannot be read: {error}") from error
  return resize_and_center_crop(image, data["image_size"], data["eval_crop_fraction"])


def _probabilities(
  config: Mapping[str, Any], num_classes: int, params: Any, images: np.ndarray
) -> np.ndarray:
  """softmax of the logits, [N, K]."""
  data = config["data"]
  model = build_model(config["model"], data["image_size"], num_classes)

  @jax.jit
  def classify(params, images):
    logits, _ = model.apply({"params": params}, normalize(images, data["mean"], data["std"]))
    return jax.nn.softmax(logits)

  # Batches of one size: one compilation, bounded memory, however many images.
  size = min(len(images), _BATCH_SIZE)
  padding = np.zeros((-len(images) % size, *images.shape[1:]), np.uint8)
  batches = np.concatenate([images, padding]).reshape(-1, size, *images.shape[1:])
  return np.concatenate([classify(params, batch) for batch in batches])[: len(images)]
