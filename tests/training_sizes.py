"""How many images and classes a config would train on, in a line."""

from hornet_jax.data.training_split import training_size


def size_of(name, split, data_dir, **changed):
  data = {"dataset": name, "train_split": split, "data_dir": str(data_dir)}
  return training_size({**data, "unique_images": 0, "empty_images": False, **changed})
