"""gnConv of order 1 to 5, the same in every stage, at equal MACs."""

from hornet_jax.studies import Arm, Study

# MACs within 1 % of order 3 at 28 pixels, by `hornet match --change=mlp` as README.md has it.
MLP_RATIOS = {1: 4.8898, 2: 4.2549, 3: 4.0, 4: 3.8882, 5: 3.8361}


def get_study() -> Study:
  return Study(
    config="comparison:variant={variant}",
    arms={
      f"order {n}": Arm(
        f"ladder_micro_g{n}{n}{n}{n}", "" if n == 3 else f"mlp_ratio={ratio}", "gnConv"
      )
      for n, ratio in MLP_RATIOS.items()
    },
    families={"gnConv": "order 3"},
    learning_rates=(2e-3, 4e-3, 8e-3),
    tuning={"data.eval_split": "train[50000:]"},
  )
