"""gnConv with 7x7, global and 3x3 filters on ImageNet, at the size of HorNet-T. Not run."""

from hornet_jax.studies import Arm, Study

# MACs within 1 % of the first at 224 pixels, by `hornet match hornet_tiny_7x7 ... --change=mlp`
# with these fields.
SPECTRAL = "filters=((56, 29), (28, 15), (14, 8), (7, 4)), mlp_ratio=4.1608"
SMALL = "filters=('3x3', '3x3', '3x3', '3x3'), mlp_ratio=4.1818"


def get_study() -> Study:
  return Study(
    config="imagenet1k:variant={variant}",
    arms={
      "7x7": Arm("hornet_tiny_7x7", family="7x7"),
      "global filter, stages 3 and 4": Arm("hornet_tiny_gf", "mlp_ratio=4.1021", "7x7"),
      "global filter, all stages": Arm("hornet_tiny_7x7", SPECTRAL, "global filter"),
      "3x3": Arm("hornet_tiny_7x7", SMALL, "7x7"),
    },
    families={"7x7": "7x7", "global filter": "global filter, all stages"},
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
