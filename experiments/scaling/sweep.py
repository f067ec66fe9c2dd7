"""HorNet, ConvNeXt and DeiT of four widths on three amounts of Fashion-MNIST, two seeds each."""

from hornet_jax.sweeps import ByWidth, Sweep, grid

# The designs that have equal MACs in experiments/families, with the learning rates found there;
# muP keeps those for other widths. DeiT, whose heads have 16 channels, had 36 there.
ARMS = {
  "HorNet": ByWidth("hornet_micro_7x7", 28, 10),
  "ConvNeXt": ByWidth("convnext_micro:depths=(1, 2, 3, 1), mlp_ratio=4.136", 28, 10),
  "DeiT": ByWidth("deit_micro:depths=(3,), grid=(7, 7), mlp_ratio=3.9529", 28, 10),
}
WIDTHS = {"HorNet": [8, 16, 24, 32], "ConvNeXt": [8, 16, 24, 32], "DeiT": [16, 32, 48, 64]}
OF_ARMS = {
  "HorNet": {"optimizer.learning_rate": 4e-3, "optimizer.base_width": 16},
  "ConvNeXt": {"optimizer.learning_rate": 8e-3, "optimizer.base_width": 16},
  "DeiT": {"optimizer.learning_rate": 4e-3, "optimizer.base_width": 32},
}


def get_sweep() -> Sweep:
  points = []
  for arm, widths in WIDTHS.items():
    images = [2000, 4000, 8000]
    points += grid(arm=[arm], size=widths, unique_images=images, passes=[5], seed=[0, 1])
  return Sweep(
    config="comparison:variant={variant}",
    arms=ARMS,
    points=points,
    settings={"optimizer.parametrization": "mup"},
    of_arms=OF_ARMS,
  )
