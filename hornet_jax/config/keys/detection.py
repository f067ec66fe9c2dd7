"""What detection sees of images, and the detector that it puts on a backbone.

The defaults are the official recipe for COCO.
"""

from hornet_jax.config.key import (
  AT_LEAST_ONE,
  FRACTION,
  NOT_NEGATIVE,
  PROBABILITY,
  Key,
  later,
  of_test,
)

_CANVASES = ("800x1088", "1088x800", "800x1344", "1344x800")
_SHORT_SIDES = tuple(range(480, 801, 32))

DETECTION: dict[str, Key] = {
  "detection.kind": later(
    "cascade",
    "Detector: Cascade Mask R-CNN of three stages, or Mask R-CNN.",
    choices=("cascade", "mask_rcnn"),
    before="cascade",
  ),
  "detection.neck": later(
    "conv",
    "What each level of the neck ends with: a 3x3 convolution, or a gnConv (HorFPN) with a 7x7 or "
    "a global filter.",
    choices=("conv", "7x7", "gf"),
    before="conv",
  ),
  "data.empty_images": later(
    False,
    "Whether images on which no thing lies are trained on too, in a dataset of things.",
    before=False,
  ),
  "detection.channels": later(
    256, "Width of the neck and of the convolutions behind it.", AT_LEAST_ONE, before=256
  ),
  "detection.hidden": later(
    1024, "Width of the linear layers of the box heads.", AT_LEAST_ONE, before=1024
  ),
  "detection.train_proposals": later(
    0,
    "Boxes that are proposed of an image in training; 0 for 2,000 (cascade) or 1,000.",
    NOT_NEGATIVE,
    before=0,
  ),
  "detection.compared": later(
    2000,
    "Likeliest anchors of each level among which those of training are chosen.",
    AT_LEAST_ONE,
    before=2000,
  ),
  "detection.anchor_samples": later(
    256, "Anchors of an image that the loss of the proposals is of.", AT_LEAST_ONE, before=256
  ),
  "detection.samples": later(
    512, "Boxes of an image that the losses of a stage are of.", AT_LEAST_ONE, before=512
  ),
  "detection.canvases": later(
    _CANVASES,
    "Heights and widths of the arrays that images are laid on, multiples of 32 pixels; batches "
    "have images of one of them, and each is compiled for.",
    before=_CANVASES,
  ),
  "detection.long_side": later(
    1333, "Largest long side of an image, in pixels.", AT_LEAST_ONE, before=1333
  ),
  "detection.short_side": later(
    800, "Its largest short side in evaluation; the aspect is kept.", AT_LEAST_ONE, before=800
  ),
  "detection.short_sides": later(
    _SHORT_SIDES,
    "Largest short sides of which training draws one.",
    AT_LEAST_ONE,
    any_length=True,
    before=_SHORT_SIDES,
  ),
  "detection.crop_rate": later(
    0.5, "Probability that a training image is cropped.", PROBABILITY, before=0.5
  ),
  "detection.crop_short_sides": later(
    (400, 500, 600),
    "Largest short sides, of which one is drawn, of an image that is cropped.",
    AT_LEAST_ONE,
    any_length=True,
    before=(400, 500, 600),
  ),
  "detection.crop_sides": later(
    (384, 600), "Smallest and largest side of a crop, in pixels.", AT_LEAST_ONE, before=(384, 600)
  ),
  "detection.max_objects": later(
    100, "Objects that a training image has room for.", AT_LEAST_ONE, before=100
  ),
  "detection.mask_side": later(
    112, "Side of the bitmaps of objects to learn from.", AT_LEAST_ONE, before=112
  ),
  "detection.proposals": of_test(
    1000, "Boxes that are proposed of an image in evaluation.", AT_LEAST_ONE, before=1000
  ),
  "detection.detections": of_test(
    100, "Objects that are reported of an image, at most.", AT_LEAST_ONE, before=100
  ),
  "detection.least_score": of_test(
    0.05, "Score that is exceeded by what is reported.", FRACTION, before=0.05
  ),
  "detection.drawn_score": of_test(
    0.5,
    "Least score of what is drawn, and counts as found in pictures and the table of images.",
    PROBABILITY,
    before=0.5,
  ),
}
