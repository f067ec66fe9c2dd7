"""The comparison of families on ImageNet, at the size of HorNet-T. Not run."""

from hornet_jax.studies import Arm, Study

# MACs within 1 % of the first at 224 pixels, by
# `hornet match hornet_tiny_7x7 convnext_tiny swin_tiny deit_small --change=mlp`.


def get_study() -> Study:
  return Study(
    config="imagenet1k:variant={variant}",
    arms={
      "HorNet": Arm("hornet_tiny_7x7", family="HorNet"),
      "ConvNeXt": Arm("convnext_tiny", "mlp_ratio=3.5318", "ConvNeXt"),
      "Swin": Arm("swin_tiny", "mlp_ratio=3.2472", "Swin"),
      "DeiT": Arm("deit_small", "mlp_ratio=3.0956", "DeiT"),
    },
    families={name: name for name in ("HorNet", "ConvNeXt", "Swin", "DeiT")},
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
