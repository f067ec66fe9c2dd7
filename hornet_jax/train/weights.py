"""Trained models: loaded from a workdir or a file, written to a file, started from."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from etils import epath
from flax import traverse_util
from safetensors import SafetensorError

from hornet_jax.data.preprocess import Preprocessing
from hornet_jax.errors import InputError
from hornet_jax.models import HorNet
from hornet_jax.models.global_filter import resize_filter
from hornet_jax.train.checkpoint import load_params
from hornet_jax.train.files import make_folder, write_file
from hornet_jax.train.model import build_eval_view, build_model
from hornet_jax.train.workdir import load_class_names, load_config

_SUFFIX = ".safetensors"
_LISTED_PROBLEMS = 5
_DATA_KEYS = ("image_size", "eval_crop_fraction", "eval_warp", "imaging", "mean", "std")


class Trained(NamedTuple):
  """A trained model.

  Attributes:
    model: `model.apply({"params": params}, preprocessing(images)) -> (logits, out)`.
    params: float32, on the host.
    preprocessing: images to inputs, and the names of the classes.
  """

  model: HorNet
  params: dict[str, Any]
  preprocessing: Preprocessing


def load(
  path: str | epath.PathLike, *, checkpoint: str | int = "last", raw: bool = False
) -> Trained:
  """Loads a trained model: `model, params, preprocessing = load(path)`.

  Args:
    path: workdir of a run, or a file that `export` wrote.
    checkpoint: of a workdir: `"last"`, `"best"` or a step.
    raw: of a workdir: the weights themselves instead of their moving average.

  Raises:
    InputError: if there is no trained model at `path`, or a file is to give one of several.
  """
  path = epath.Path(path).expanduser()
  if path.suffix == _SUFFIX:
    if raw or checkpoint != "last":
      raise InputError(
        f"{path} holds the weights of one checkpoint: expected neither `checkpoint` nor `raw`, "
        f"got checkpoint={checkpoint!r}, raw={raw}. Hint: load the workdir instead."
      )
    config, class_names, params = _read(path)
  else:
    config, class_names = load_config(path), load_class_names(path)
    _, raw_params, ema_params = load_params(path / "checkpoints", checkpoint)
    params = raw_params if raw else ema_params
  data = config["data"]
  return Trained(
    build_model(config["model"], data["image_size"], len(class_names)),
    params,
    Preprocessing(
      build_eval_view(data),
      mean=data["mean"],
      std=data["std"],
      class_names=class_names,
    ),
  )


def export(workdir: epath.Path, file: epath.Path, checkpoint: str | int = "last") -> None:
  """Writes a run's averaged weights to one file that `load` reads and nothing can hide in.

  The tensors are named by their paths in the parameter tree, such as
  `stage_0/block_0/gnconv/proj_in/kernel`; the metadata hold the model, the preprocessing
  and the names of the classes as JSON.

  Raises:
    InputError: if there is no such checkpoint or the name does not end in .safetensors.
  """
  if file.suffix != _SUFFIX:
    raise InputError(f"`out` must end in {_SUFFIX}: got {file.name!r}.")
  make_folder(file.parent)
  config = load_config(workdir)
  step, _, ema_params = load_params(workdir / "checkpoints", checkpoint)
  metadata = {
    "model": json.dumps(config["model"]),
    "data": json.dumps({key: config["data"][key] for key in _DATA_KEYS}),
    "class_names": json.dumps(load_class_names(workdir)),
    "step": str(step),
  }
  tensors = traverse_util.flatten_dict(ema_params, sep="/")
  write_file(file, safetensors.numpy.save(tensors, metadata))


def _read(file: epath.Path) -> tuple[dict[str, Any], list[str], dict[str, Any]]:
  """Config, class names and parameters of a file."""
  try:
    content = file.read_bytes()
    tensors = safetensors.numpy.load(content)
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    config = {"model": json.loads(metadata["model"])}
    config["data"] = {key: json.loads(metadata["data"])[key] for key in _DATA_KEYS}
    class_names = json.loads(metadata["class_names"])
  except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
    reason = f"{error} is missing" if isinstance(error, KeyError) else error or "not readable"
    raise InputError(f"{file} must be a file that `hornet export` wrote: {reason}.") from error
  return config, class_names, traverse_util.unflatten_dict(tensors, sep="/")


def start_from(
  params: Mapping[str, Any], source: Trained, class_names: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
  """Initial parameters of a run that starts from a trained model.

  Everything is taken over; spectral filters of another grid are resized. The head is taken
  over where the classes are the same, and stays as initialised where they are not.

  Args:
    params: as initialised.
    source: what to start from.
    class_names: of the new run.

  Returns:
    The parameters, and what is new or changed in them, one line each.

  Raises:
    InputError: if a parameter is missing, left over or of another shape; the first few are named.
  """
  wanted = traverse_util.flatten_dict(dict(params), sep="/")
  given = traverse_util.flatten_dict(source.params, sep="/")
  notes = []
  if list(class_names) != list(source.preprocessing.class_names):
    notes.append("new head: the classes are others")
    given = {path: leaf for path, leaf in given.items() if not path.startswith("head/")}
    given |= {path: leaf for path, leaf in wanted.items() if path.startswith("head/")}
  problems = [f"{path} is missing" for path in sorted(wanted.keys() - given.keys())]
  problems += [f"{path} is left over" for path in sorted(given.keys() - wanted.keys())]
  taken = {}
  for path in wanted.keys() & given.keys():
    leaf, shape = given[path], wanted[path].shape
    if leaf.shape != shape and path.rpartition("/")[2] in ("filter_re", "filter_im"):
      notes.append(f"{path} resized from {leaf.shape[:2]} to {shape[:2]}")
      leaf = np.asarray(resize_filter(jnp.asarray(leaf), shape[:2]))
    if leaf.shape != shape:
      problems.append(f"{path} is {leaf.shape} instead of {shape}")
    taken[path] = leaf
  if problems:
    listed = sorted(problems)[:_LISTED_PROBLEMS]
    more = f" and {len(problems) - len(listed)} more" if len(problems) > len(listed) else ""
    raise InputError(
      f"`init.checkpoint` must hold the parameters of this model: {'; '.join(listed)}{more}. "
      "Hint: set `model` as that run had it."
    )
  in_order = {path: taken[path] for path in wanted}
  return traverse_util.unflatten_dict(in_order, sep="/"), sorted(notes)
