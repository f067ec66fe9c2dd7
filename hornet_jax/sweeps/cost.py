"""What a trial of a sweep costs is known before it runs."""

import dataclasses

from hornet_jax.config.flat import nest
from hornet_jax.data.training_split import training_size
from hornet_jax.studies.model_cost import ModelCost, count_model, train_flops
from hornet_jax.studies.trial import Trial


@dataclasses.dataclass(frozen=True)
class Cost:
  """A `Cost` says what a trial's training takes.

  Attributes:
    model: size of the model.
    images_seen: number of images that training sees, repeated ones counted again.
    unique_images: number of different images that it has.
    batch_size: number B of images of a step.
  """

  model: ModelCost
  images_seen: int
  unique_images: int
  batch_size: int

  @property
  def steps(self) -> int:
    """Gives the number of updates."""
    return self.images_seen // self.batch_size

  @property
  def steps_per_epoch(self) -> int:
    """Gives the number of updates of a pass over the unique images."""
    return self.unique_images // self.batch_size

  @property
  def flops(self) -> int:
    """Gives the FLOPs of the whole training."""
    return train_flops(self.model.macs, self.images_seen)


@dataclasses.dataclass(frozen=True)
class Setting:
  """A `Setting` is what is known of a trial whose length is not yet chosen.

  Attributes:
    model: size of the model.
    batch_size: number B of images of a step.
    images: number of images of the training split.
  """

  model: ModelCost
  batch_size: int
  images: int


def read_setting(trial: Trial) -> Setting:
  """Counts the model of a trial, and looks up how many images there are.

  Raises:
    InputError: if the config describes no model, or its dataset is not known.
  """
  config = nest(trial.settings)
  data = config["data"]
  images, num_classes = training_size({**data, "unique_images": 0})
  return Setting(count_model(config["model"], data, num_classes), data["batch_size"], images)
