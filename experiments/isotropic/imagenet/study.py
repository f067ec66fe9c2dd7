"""Isotropic models on ImageNet, at the size of DeiT-S. Not run."""

from hornet_jax.studies import Arm, Study

# MACs within 1 % of the first at 224 pixels, by `hornet match hornet_iso_small_7x7
# hornet_iso_small_gf convnext_iso_small deit_small --change=mlp`.


def get_study() -> Study:
  return Study(
    config="imagenet1k:variant={variant}",
    arms={
      "HorNet 7x7": Arm("hornet_iso_small_7x7", family="HorNet"),
      "HorNet global filter": Arm("hornet_iso_small_gf", "mlp_ratio=4.0921", "HorNet"),
      "ConvNeXt": Arm("convnext_iso_small", "mlp_ratio=3.9066", "ConvNeXt"),
      "DeiT": Arm("deit_small", "mlp_ratio=3.4124", "DeiT"),
    },
    families={"HorNet": "HorNet 7x7", "ConvNeXt": "ConvNeXt", "DeiT": "DeiT"},
    learning_rates=(2e-3, 4e-3, 8e-3),
    # A tenth of the passes, on all but 13,167 of the training images.
    tuning={
      "epochs": 30.0,
      "data.train_split": "train[:1268000]",
      "data.eval_split": "train[1268000:]",
    },
    settings={"model.dtype": "bfloat16"},
    seeds=(0,),
  )
