"""What segmentation sees of images, and the heads that it puts on a backbone.

The defaults are the official recipe for ADE20K.
"""

from hornet_jax.config.key import (
  AT_LEAST_ONE,
  FRACTION,
  NOT_NEGATIVE,
  POSITIVE,
  SHARE,
  Key,
  later,
  of_test,
)

SEGMENTATION: dict[str, Key] = {
  "segmentation.channels": later(512, "Width of UperNet's head.", AT_LEAST_ONE, before=512),
  "segmentation.fusion": later(
    "conv",
    "Fusion of the head's levels: a 3x3 convolution, or a gnConv (HorFPN) with a 7x7 or a global "
    "filter.",
    choices=("conv", "7x7", "gf"),
    before="conv",
  ),
  "segmentation.auxiliary_channels": later(
    256, "Width of the auxiliary head on the third level; 0 for none.", NOT_NEGATIVE, before=256
  ),
  "segmentation.auxiliary_weight": later(
    0.4, "Weight of the auxiliary head's loss.", NOT_NEGATIVE, before=0.4
  ),
  "segmentation.dropout_rate": later(
    0.1,
    "Probability that a channel of an image is dropped before the classifiers.",
    FRACTION,
    before=0.1,
  ),
  "segmentation.long_side": later(
    2048,
    "Largest long side of a training image at ratio 1, in pixels.",
    AT_LEAST_ONE,
    before=2048,
  ),
  "segmentation.short_side": later(
    512, "Its largest short side; the aspect is kept.", AT_LEAST_ONE, before=512
  ),
  "segmentation.ratios": later(
    (0.5, 2.0),
    "Smallest and largest ratio by which that size is multiplied, at random.",
    POSITIVE,
    before=(0.5, 2.0),
  ),
  "segmentation.max_class_share": later(
    0.75,
    "Largest share of one class in a training crop, else another is drawn; 1 for any.",
    SHARE,
    before=0.75,
  ),
  "segmentation.photometric": later(
    True, "Whether brightness, contrast, saturation and hue are changed.", before=True
  ),
  "segmentation.eval_by": of_test(
    "slide",
    "How an image is evaluated: scaled to long_side and short_side and cut to overlapping windows "
    "of data.image_size, or as a whole, scaled to fit one window.",
    choices=("slide", "whole"),
    before="slide",
  ),
  "segmentation.eval_stride": of_test(
    0,
    "Distance of the windows in pixels; 0 for two thirds of a window, rounded down.",
    NOT_NEGATIVE,
    before=0,
  ),
  "segmentation.eval_ratios": of_test(
    (),
    "Ratios by which an image is scaled for its evaluation, several for the average of their "
    "probabilities; () for 1 alone.",
    POSITIVE,
    before=(),
  ),
  "segmentation.eval_flip": of_test(
    False, "Whether each image is evaluated flipped, too.", before=False
  ),
}
