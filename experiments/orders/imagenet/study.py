"""gnConv of order 1 to 5 on ImageNet, at the size of HorNet-T. Not run."""

from hornet_jax.studies import Arm, Study

# MACs within 1 % of order 3 at 224 pixels, by `hornet match ladder_g3333 ladder_g1111
# ladder_g2222 ladder_g4444 ladder_g5555 --change=mlp`.
MLP_RATIOS = {1: 4.3883, 2: 4.0878, 3: 4.0, 4: 3.9717, 5: 3.9615}


def get_study() -> Study:
  return Study(
    config="imagenet1k:variant={variant}",
    arms={
      f"order {n}": Arm(f"ladder_g{n}{n}{n}{n}", "" if n == 3 else f"mlp_ratio={ratio}", "gnConv")
      for n, ratio in MLP_RATIOS.items()
    },
    families={"gnConv": "order 3"},
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
