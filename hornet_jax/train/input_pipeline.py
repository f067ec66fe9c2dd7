"""The datasets of a config are opened, and read batch by batch."""

from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple

from jax.sharding import Mesh

from hornet_jax.data.class_balance import ClassBalance, read_labels
from hornet_jax.data.datasets import Split, default_splits, open_split
from hornet_jax.data.descriptors import check_limit
from hornet_jax.data.kinds import join_kinds
from hornet_jax.data.pipeline import Batch, eval_batches, train_batches
from hornet_jax.data.schema import Schema
from hornet_jax.data.training_split import open_training_split
from hornet_jax.errors import InputError
from hornet_jax.parallel.mesh import batch_sharding, process_rows
from hornet_jax.train.eval_rows import eval_rows
from hornet_jax.train.task import Task
from hornet_jax.train.task_registry import get_task


class Splits(NamedTuple):
  """These are the splits that a run reads.

  Attributes:
    train: what is learned from.
    eval: what is evaluated and reported.
    other_evals: what is evaluated besides, of `eval.also`.
  """

  train: Split
  eval: Split
  other_evals: tuple[Split, ...]


def open_splits(config: Mapping[str, Any]) -> Splits:
  """Opens the splits that a config names, without TensorFlow.

  Args:
    config: nested, with the keys of `config.schema`.

  Raises:
    InputError: if a dataset is unknown or not prepared, or those to evaluate have other classes.
  """
  data, target = config["data"], get_task(config["task"]).target
  name, data_dir = data["dataset"], data["data_dir"]
  train = open_training_split(data, target)
  eval_split = data["eval_split"] or default_splits(name, data_dir)[1]
  others = (_open_like(train, full_name, data_dir, target) for full_name in config["eval"]["also"])
  return Splits(train, open_split(name, eval_split, data_dir, target), tuple(others))


def _open_like(train_split: Split, full_name: str, data_dir: str, target: str) -> Split:
  """Opens `NAME/SPLIT`, whose classes must be those of the training split."""
  name, separator, split_name = full_name.rpartition("/")
  if not separator:
    raise InputError(f"`eval.also` must name datasets and splits, NAME/SPLIT: got {full_name!r}.")
  split = open_split(name, split_name, data_dir, target)
  if split.class_names != train_split.class_names:
    raise InputError(
      f"`eval.also` must have the classes of {train_split.name}: expected "
      f"{_first_few(train_split.class_names)}, got {_first_few(split.class_names)} in {split.name}."
    )
  return split


def _first_few(class_names: list[str]) -> str:
  return f"{len(class_names)} ({', '.join(class_names[:3])}, ...)"


class InputPipeline:
  """An input pipeline reads what this process needs of the batches of a run.

  Attributes:
    splits: what is read.
    eval_batch_size: rows of a batch of evaluation: the config's, or fewer, see `eval_rows`.
  """

  def __init__(self, config: Mapping[str, Any], splits: Splits, task: Task, mesh: Mesh):
    """Reads nothing yet.

    Args:
      config: nested, with the keys of `config.schema`.
      splits: what is read.
      task: what says how an example is loaded.
      mesh: the devices, over which the rows of a batch are spread.
    """
    self.splits = splits
    self._config, self._task, self._mesh = config, task, mesh
    self._eval_task = task.for_evaluation([splits.eval, *splits.other_evals])
    largest = max(len(split.source) for split in (splits.eval, *splits.other_evals))
    wanted = config["data"]["eval_batch_size"]
    self.eval_batch_size = eval_rows(wanted, largest, self._eval_task.eval_schema, mesh)

  @property
  def eval_schemas(self) -> Sequence[Schema]:
    """What is loaded of an example of each kind that is evaluated."""
    return self._eval_task.eval_schemas

  def check_open_files(self) -> str:
    """Says what is known of the limit of open files.

    Raises:
      InputError: if it is too low to train.
    """
    split = self.splits.train
    evaluated = sum(other.num_shards for other in (self.splits.eval, *self.splits.other_evals))
    num_processes = self._config["data"]["num_processes"]
    return check_limit(split.name, split.num_shards, evaluated, num_processes)

  def train_batches(self, start_step: int) -> Generator[Batch, None, None]:
    """Reads this process's rows of the training batches after some steps.

    Args:
      start_step: number of steps that are done.
    """
    data, split = self._config["data"], self.splits.train
    strength = data["class_balance"]
    return train_batches(
      split,
      self._task.load,
      join_kinds(self._task.schemas, self._task.kinds(split)),
      batch_size=data["batch_size"],
      seed=self._config["seed"],
      start_step=start_step,
      rows=process_rows(data["batch_size"], batch_sharding(self._mesh)).tolist(),
      num_threads=data["num_threads"],
      num_processes=data["num_processes"],
      balance=ClassBalance(read_labels(split), strength) if strength else None,
    )

  def eval_batches(self, split: Split) -> Generator[Batch, None, None]:
    """Reads this process's rows of all batches of a split, the last one padded.

    Args:
      split: one of `splits`.
    """
    data = self._config["data"]
    return eval_batches(
      split,
      self._eval_task.load,
      join_kinds(self.eval_schemas, self._eval_task.kinds(split)),
      batch_size=self.eval_batch_size,
      rows=process_rows(self.eval_batch_size, batch_sharding(self._mesh)).tolist(),
      num_threads=data["num_threads"],
      num_processes=data["num_processes"],
    )

  @property
  def readers(self) -> str:
    """What reads the training data, for messages."""
    data = self._config["data"]
    processes = f"{data['num_processes']} processes of " if data["num_processes"] else ""
    return f"{self.splits.train.name}, read by {processes}{data['num_threads']} threads"
