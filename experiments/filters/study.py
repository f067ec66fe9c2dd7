"""gnConv with 7x7 convolutions, global filters and 3x3 convolutions, at equal MACs."""

from hornet_jax.studies import Arm, Study

# MACs within 1 % of the first at 28 pixels, by `hornet match --change=mlp` as README.md has it.
SPECTRAL = "filters=((14, 8), (7, 4), (3, 2), (1, 1)), mlp_ratio=4.9867"
LATE = "filters=('7x7', '7x7', (3, 2), (1, 1)), mlp_ratio=4.2586"
SMALL = "filters=('3x3', '3x3', '3x3', '3x3'), mlp_ratio=5.0349"


def get_study() -> Study:
  return Study(
    config="comparison:variant={variant}",
    arms={
      "7x7": Arm("hornet_micro_7x7", family="7x7"),
      "global filter, stages 3 and 4": Arm("hornet_micro_7x7", LATE, "7x7"),
      "global filter, all stages": Arm("hornet_micro_7x7", SPECTRAL, "global filter"),
      "3x3": Arm("hornet_micro_7x7", SMALL, "7x7"),
    },
    families={"7x7": "7x7", "global filter": "global filter, all stages"},
    learning_rates=(2e-3, 4e-3, 8e-3),
    tuning={"data.eval_split": "train[50000:]"},
  )
