"""HorNet, ConvNeXt, Swin and DeiT at equal MACs."""

from hornet_jax.studies import Arm, Study

# MACs within 1 % at 28 pixels, by `hornet match` as README.md has it.
ARMS = {
  "HorNet": Arm("hornet_micro_7x7", family="HorNet"),
  "ConvNeXt": Arm("convnext_micro", "depths=(1, 2, 3, 1), mlp_ratio=4.136", "ConvNeXt"),
  "Swin": Arm("swin_micro", "base_dim=12, depths=(2, 1, 2, 1), mlp_ratio=3.2709, window=7", "Swin"),
  "DeiT": Arm("deit_micro", "base_dim=36, depths=(3,), grid=(7, 7), mlp_ratio=3.9529", "DeiT"),
}


def get_study() -> Study:
  return Study(
    config="comparison:variant={variant}",
    arms=ARMS,
    families={name: name for name in ARMS},
    learning_rates=(2e-3, 4e-3, 8e-3),
    tuning={"data.eval_split": "train[50000:]"},
  )
