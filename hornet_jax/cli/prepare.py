"""`prepare DATASET`."""

import argparse

from hornet_jax.data.datasets import DATASETS, open_split
from hornet_jax.data.prepare import prepare


def add_arguments(parser: argparse.ArgumentParser) -> None:
  parser.add_argument("dataset", help=f"one of {', '.join(DATASETS)}")
  parser.add_argument(
    "--data_dir", default="", help="default: $TFDS_DATA_DIR or ~/tensorflow_datasets"
  )


def run(args: argparse.Namespace) -> int:
  path = prepare(args.dataset, args.data_dir)
  dataset = DATASETS[args.dataset]
  for split in (dataset.train_split, dataset.eval_split):
    opened = open_split(args.dataset, split, args.data_dir)
    print(f"{opened.name}: {len(opened.source):,} images, {len(opened.class_names)} classes")
  print(f"in {path}")
  return 0
