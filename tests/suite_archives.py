"""Small archives of every set of the suite, whose images say what is answered."""

import gzip
import io
import zipfile

from PIL import Image

from hornet_jax.data.imagenet_classes import synsets, validation_synsets
from hornet_jax.data.preparing.imagenet.eval_archives import CORRUPTIONS, EVAL_SETS, SEVERITIES
from hornet_jax.data.preparing.imagenet.generated import tar_of

LABELS = [synsets().index(synset) for synset in validation_synsets()[:6]]


def answer(prediction, confidence=0.75, cropped=None):
  """A picture that tells `Oracle` what to answer: a PNG, by whatever name it goes.

  Where its border is cropped away it tells the answer `cropped`, if that is another one.
  """
  picture = Image.new("RGB", (8, 8), _color(prediction, confidence))
  if cropped is not None:
    picture.paste(_color(cropped, confidence), (1, 1, 7, 7))
  buffer = io.BytesIO()
  picture.save(buffer, "PNG")
  return buffer.getvalue()


def _color(prediction, confidence):
  return prediction % 256, prediction // 256, round(256 * confidence)


def sketch_archive(path):
  with zipfile.ZipFile(path, "w") as file:
    file.writestr(f"sketch/{synsets()[3]}/a.JPEG", answer(3))
    file.writestr(f"sketch/{synsets()[3]}/b.JPEG", answer(4))
    file.writestr(f"sketch/{synsets()[700]}/c.JPEG", b"no image")
    file.writestr("sketch/n00000000/d.JPEG", answer(4))
    file.writestr(f"__MACOSX/sketch/{synsets()[3]}/._a.JPEG", b"resource fork")
    file.writestr(f"../sketch/{synsets()[3]}/e.JPEG", answer(3))


def corrupted(corruption, severity):
  """Two images of each: both right at severity 1, one at 2 and 3, none above."""
  right = {1: 2, 2: 1, 3: 1, 4: 0, 5: 0}[severity]
  folder = f"{corruption}/{severity}/{synsets()[20]}"
  # These images are cropped already: cropped once more they would answer wrong.
  answers = [answer(20 if i < right else 21, cropped=22) for i in range(2)]
  return [(f"{folder}/ILSVRC2012_val_0000000{i}.JPEG", a) for i, a in enumerate(answers)]


def write_archives(folder):
  """All of them."""
  train = tar_of([(f"{synsets()[0]}_1.JPEG", answer(0))])
  (folder / "ILSVRC2012_img_train.tar").write_bytes(tar_of([(f"{synsets()[0]}.tar", train)]))
  wrong = [(label + 1) % 1000 for label in LABELS]
  answers = [
    answer(LABELS[0]),
    answer(LABELS[1]),
    answer(wrong[2]),
    answer(wrong[3]),
    answer(LABELS[4], 0.25),
    answer(wrong[5], 0.25),
  ]
  images = [(f"ILSVRC2012_val_{i + 1:08d}.JPEG", image) for i, image in enumerate(answers)]
  (folder / "ILSVRC2012_img_val.tar").write_bytes(tar_of(images))
  # Sorted as text "10" is the second of these folders, and "2" the third.
  v2 = [(f"imagenetv2/{k}/{k}.jpeg", answer(k)) for k in (0, 10, 2)] + [
    ("imagenetv2/999/x.jpeg", answer(5))
  ]
  (folder / "imagenetv2-matched-frequency.tar.gz").write_bytes(gzip.compress(tar_of(v2)))
  # Nothing of class 900 is in it: of the classes 1 and 5, which are, the first is ahead.
  natural = [(f"imagenet-a/{synsets()[k]}/{k}.jpg", answer(900)) for k in (1, 5)]
  (folder / "imagenet-a.tar").write_bytes(tar_of([*natural, ("imagenet-a/README.txt", b"text")]))
  renditions = [(f"imagenet-r/{synsets()[k]}/{k}.jpg", answer(k)) for k in (7, 8, 9)]
  (folder / "imagenet-r.tar").write_bytes(tar_of(renditions))
  sketch_archive(folder / "ImageNet-Sketch.zip")
  for archive, names in zip(EVAL_SETS["imagenet_c"].archives, _split_corruptions(), strict=True):
    content = [image for name in names for s in SEVERITIES for image in corrupted(name, s)]
    (folder / archive).write_bytes(tar_of(content))


def _split_corruptions():
  """As the four archives hold them."""
  return CORRUPTIONS[:3], CORRUPTIONS[3:7], CORRUPTIONS[7:11], CORRUPTIONS[11:]
