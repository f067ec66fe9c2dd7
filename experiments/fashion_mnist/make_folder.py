"""Writes Fashion-MNIST as a folder of 70,000 PNG files, one class folder each class.

    python experiments/fashion_mnist/make_folder.py IDX_DIR OUT

IDX_DIR holds the four idx files (Debian: package dataset-fashion-mnist, in
/usr/share/datasets/fashion-mnist; else https://github.com/zalandoresearch/fashion-mnist).
OUT gets train/CLASS/00000.png and test/CLASS/00000.png, numbered as in the idx files.
"""

import pathlib
import sys

from PIL import Image

from hornet_jax.data.preparing.idx import read_mnist_files

CLASSES = [
  "t-shirt or top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
  "ankle boot",
]  # fmt: skip


def main(idx_dir: str, out: str) -> None:
  for split, (images, labels) in read_mnist_files(pathlib.Path(idx_dir)).items():
    folders = [pathlib.Path(out, split, name) for name in CLASSES]
    for folder in folders:
      folder.mkdir(parents=True, exist_ok=True)
    for i, (image, label) in enumerate(zip(images[..., 0], labels, strict=True)):
      Image.fromarray(image).save(folders[label] / f"{i:05}.png")


if __name__ == "__main__":
  main(*sys.argv[1:])
