"""HorNets of width 24 to 368 on ImageNet-22K, where HorNet-T has 64 and HorNet-L 192. Not run."""

from hornet_jax.sweeps import ByWidth, Sweep, grid, isoflop

# Depths of 2, 3, 18, 2 are those of HorNet-T, S, B and L; widths of 64, 96, 128 and 192 are theirs.
RULE = ByWidth("hornet_tiny_7x7", 224, 19167)
BUDGETS = [1e18, 4e18, 1.6e19, 6.4e19, 2.56e20]  # the last: HorNet-L for 90 passes
UNIQUE_IMAGES = [100_000, 400_000, 1_600_000, 6_400_000]
SHARDED_FROM = 256  # width from which the state is spread over 8 chips


def best_params(flops: float) -> float:
  """Guesses the best size: 22 M parameters at 4e18 FLOPs, growing as the root of the budget.

  Once the small budgets are trained, `read_best_size` of their fit is the better guess.
  """
  return 22e6 * (flops / 4e18) ** 0.5


def get_sweep() -> Sweep:
  points = isoflop("HorNet", RULE, BUDGETS, best_params, count=5, spread=4.0)
  # What repeated images are worth: up to 1,700 passes over them.
  points += grid(arm=["HorNet"], size=[64, 128], unique_images=UNIQUE_IMAGES, flops=[4e18])
  points = [
    {**point, "mesh.fsdp": 8} if point["size"] >= SHARDED_FROM else point for point in points
  ]
  return Sweep(
    config="imagenet22k:variant={variant}",
    arms={"HorNet": RULE},
    points=points,
    settings={
      "optimizer.parametrization": "mup",
      "optimizer.base_width": 64,
      "model.dtype": "bfloat16",
      "model.scan": True,
      "data.eval_split": "train[:1%]",
    },
  )
