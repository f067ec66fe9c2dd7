"""Isotropic HorNet with 7x7 and global filters, ConvNeXt and DeiT, at equal MACs."""

from hornet_jax.studies import Arm, Study

# MACs within 1 % of the first at 28 pixels, by `hornet match --change=mlp` as README.md has it.
SPECTRAL = "base_dim=32, depths=(4,), filters=((7, 4),), mlp_ratio=5.1655"
CONVNEXT = "base_dim=32, depths=(6,), mlp_ratio=4.1113"
DEIT = "base_dim=36, depths=(3,), grid=(7, 7), mlp_ratio=4.1395"


def get_study() -> Study:
  return Study(
    config="comparison:variant={variant}",
    arms={
      "HorNet 7x7": Arm("hornet_iso_micro_7x7", "base_dim=32, depths=(4,)", "HorNet"),
      "HorNet global filter": Arm("hornet_iso_micro_gf", SPECTRAL, "HorNet"),
      "ConvNeXt": Arm("convnext_iso_micro", CONVNEXT, "ConvNeXt"),
      "DeiT": Arm("deit_micro", DEIT, "DeiT"),
    },
    families={"HorNet": "HorNet 7x7", "ConvNeXt": "ConvNeXt", "DeiT": "DeiT"},
    learning_rates=(2e-3, 4e-3, 8e-3),
    tuning={"data.eval_split": "train[50000:]"},
  )
