"""The ablation ladder of the paper on ImageNet, rung by rung as it has them. Not run."""

from hornet_jax.studies import Arm, Study

ORDERS = ("1111", "2222", "3333", "4444", "1234", "2345")


def get_study() -> Study:
  return Study(
    config="imagenet1k:variant={variant}",
    arms={
      "7x7 depthwise": Arm("ladder_7x7", family="filter"),
      "+ squeeze-excite": Arm("ladder_se", family="filter"),
      **{
        f"g{{{','.join(orders)}}}": Arm(f"ladder_g{orders}", family="gnConv") for orders in ORDERS
      },
      "deeper, narrower": Arm("hornet_tiny_7x7", family="gnConv"),
      "+ global filter": Arm("hornet_tiny_gf", family="gnConv"),
    },
    families={"filter": "7x7 depthwise", "gnConv": "g{3,3,3,3}"},
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
