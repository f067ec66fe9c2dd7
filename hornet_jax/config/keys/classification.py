"""What classification alone reads: views of images, mixing, labels and their loss.

The defaults are the official recipe for ImageNet-1K.
"""

from hornet_jax.config.key import (
  AT_LEAST_ONE,
  FRACTION,
  NOT_NEGATIVE,
  POSITIVE,
  PROBABILITY,
  SHARE,
  Key,
  later,
)

CLASSIFICATION: dict[str, Key] = {
  "data.unique_images": later(
    0,
    "Images of that split to train on, equally many of each class as far as there are; fewer are "
    "always among more. 0 for all.",
    NOT_NEGATIVE,
    before=0,
  ),
  "data.class_balance": Key(
    0.0,
    "How far rare classes are shown more often, from 0, as often as their images are, to 1, as "
    "often as any other.",
    PROBABILITY,
    official=False,
    before=0.0,
  ),
  "data.crop": Key(
    "random_resized",
    "Crop of training images: a random box, or the central square, shifted (padded).",
    choices=("random_resized", "padded"),
    before="padded",
  ),
  "data.crop_scale": Key(
    (0.08, 1.0),
    "Smallest and largest share of the image's area, for random_resized.",
    SHARE,
    before=(0.08, 1.0),
  ),
  "data.crop_aspect": Key(
    (3 / 4, 4 / 3),
    "Smallest and largest width / height, for random_resized.",
    POSITIVE,
    before=(3 / 4, 4 / 3),
  ),
  "data.crop_padding": Key(
    0, "Pixels by which training images shift at most, for padded.", NOT_NEGATIVE, official=False
  ),
  "data.rand_augment": Key(
    "rand-m9-mstd0.5-inc1", "RandAugment in timm's notation; empty for none.", fits=True, before=""
  ),
  "data.erasing_rate": Key(
    0.25, "Probability that a rectangle of a training image is noise.", FRACTION, before=0.0
  ),
  "data.eval_crop_fraction": Key(
    0.875, "Share of the short side that evaluation sees.", SHARE, evaluation=True
  ),
  "data.eval_warp": Key(
    False,
    "Whether evaluation resizes to a square instead, as the official code from 384 pixels on.",
    evaluation=True,
    before=False,
  ),
  "mix.mixup_alpha": Key(
    0.8,
    "Alpha of mixup's ratios, from Beta(alpha, alpha); 0 for no mixup.",
    NOT_NEGATIVE,
    before=0.8,
  ),
  "mix.cutmix_alpha": Key(
    1.0, "Alpha of cutmix's ratios, likewise; 0 for no cutmix.", NOT_NEGATIVE, before=1.0
  ),
  "mix.rate": Key(1.0, "Probability that a group is mixed.", PROBABILITY, before=0.0),
  "mix.switch_rate": Key(0.5, "Probability of cutmix, where both are on.", PROBABILITY, before=0.5),
  "mix.group_size": Key(
    128,
    "Images that share a ratio: officially the batch of one GPU.",
    AT_LEAST_ONE,
    fits=True,
    before=128,
  ),
  "loss.label_smoothing": Key(
    0.1, "Share of the target that is spread over all classes.", FRACTION
  ),
  "loss.class_weighting": Key(
    "none",
    "Weights of the classes in the loss: none, one over the number of their images (inverse) or "
    "over its effective number.",
    choices=("none", "inverse", "effective"),
    official=False,
    before="none",
  ),
  "loss.class_weights": Key(
    (),
    "Weight of each class in the loss; empty for those of loss.class_weighting.",
    official=False,
    before=(),
  ),
}
