"""From a plain depthwise convolution to HorNet, one change at a time."""

from hornet_jax.studies import Arm, Study

ORDERS = ("1111", "2222", "3333", "4444", "1234", "2345")


def get_study() -> Study:
  arms = {
    "7x7 depthwise": Arm("ladder_micro_7x7", family="filter"),
    "+ squeeze-excite": Arm("ladder_micro_se", family="filter"),
  }
  arms |= {
    f"g{{{','.join(orders)}}}": Arm(f"ladder_micro_g{orders}", family="gnConv") for orders in ORDERS
  }
  # As HorNet-T stands to the base: MACs within 1 %, by `hornet match --change=mlp`.
  deeper = "base_dim=12, depths=(1, 1, 5, 1)"
  arms["deeper, narrower"] = Arm("hornet_micro_7x7", f"{deeper}, mlp_ratio=5.0157", "gnConv")
  arms["+ global filter"] = Arm(
    "hornet_micro_gf",
    f"{deeper}, filters=('7x7', '7x7', (3, 2), (1, 1)), mlp_ratio=5.5244",
    "gnConv",
  )
  return Study(
    config="comparison:variant={variant}",
    arms=arms,
    families={"filter": "7x7 depthwise", "gnConv": "g{3,3,3,3}"},
    learning_rates=(2e-3, 4e-3, 8e-3),
    tuning={"data.eval_split": "train[50000:]"},
  )
