"""This module knows where the published checkpoints are, and downloads them."""

import dataclasses
import hashlib
import os
import pathlib
import urllib.error
import urllib.request

from etils import epath
from tqdm import tqdm

from hornet_jax.errors import InputError, unknown_name
from hornet_jax.lock import locked
from hornet_jax.paths import cache_folder, expanded

_TIMEOUT = 20  # seconds without an answer
_CHUNK = 1 << 20
_TIMM = "timm"
_HUB = "https://huggingface.co/timm"


@dataclasses.dataclass(frozen=True)
class Published:
  """A `Published` says where a file is.

  Attributes:
    url: address where it is, or was: links have died before.
    algorithm: name in `hashlib` of the checksum's algorithm.
    digest: first digits of the checksum; empty where its publisher gives none.
  """

  url: str
  algorithm: str = "sha256"
  digest: str = ""


def _official(link: str) -> Published:
  return Published(f"https://cloud.tsinghua.edu.cn/f/{link}/?dl=1")


def _mmpretrain(name: str, sha256: str) -> Published:
  root = "https://download.openmmlab.com/mmclassification/v0/hornet"
  return Published(f"{root}/hornet-{name}_3rdparty_in1k_20220915-{sha256}.pth", digest=sha256)


def _keras(name: str, md5: str) -> Published:
  root = "https://github.com/leondgarse/keras_cv_attention_models/releases/download/hornet"
  return Published(f"{root}/{name}.h5", "md5", md5)


PUBLISHED = {
  # Source: README of the official repository. _in22k: pretrained on ImageNet-22K, with its head.
  "official:hornet_tiny_7x7": _official("1ca970586c6043709a3f"),
  "official:hornet_tiny_gf": _official("511faad0bde94dfcaa54"),
  "official:hornet_small_7x7": _official("46422799db2941f7b684"),
  "official:hornet_small_gf": _official("8405c984bf084d2ba85a"),
  "official:hornet_base_7x7": _official("5c86cb3d655d4c17a959"),
  "official:hornet_base_gf": _official("6c84935e63b547f383fb"),
  "official:hornet_large_7x7_in22k": _official("a76f7ce114ad4e9c8ffb"),
  "official:hornet_large_gf_in22k": _official("12c99a79e77341e59681"),
  "official:hornet_large_gf_img384_in22k": _official("9253bd0d50c84ab1b71e"),
  # Source: mmpretrain, configs/hornet/metafile.yml. The official weights under other names.
  "mmpretrain:hornet_tiny_7x7": _mmpretrain("tiny", "0e8eedff"),
  "mmpretrain:hornet_tiny_gf": _mmpretrain("tiny-gf", "4c35a66b"),
  "mmpretrain:hornet_small_7x7": _mmpretrain("small", "5935f60f"),
  "mmpretrain:hornet_small_gf": _mmpretrain("small-gf", "649ca492"),
  "mmpretrain:hornet_base_7x7": _mmpretrain("base", "a06176bb"),
  "mmpretrain:hornet_base_gf": _mmpretrain("base-gf", "82c06fa7"),
  # Source: keras_cv_attention_models, hornet/hornet.py. Likewise.
  "keras:hornet_tiny_7x7": _keras("hornet_tiny_224_imagenet", "7bdafa31599cb863b42d960b9d7f5ae4"),
  "keras:hornet_tiny_gf": _keras("hornet_tiny_gf_224_imagenet", "49323a163df84196e9d40a65289e54a9"),
  "keras:hornet_small_7x7": _keras("hornet_small_224_imagenet", "4ac8b8552a750303d65cae5fa0ff8013"),
  "keras:hornet_small_gf": _keras(
    "hornet_small_gf_224_imagenet", "79ae2409e29b125ba9978227f353cd7e"
  ),
  "keras:hornet_base_7x7": _keras("hornet_base_224_imagenet", "b5e808fe5996a8cc980552994f5ca875"),
  "keras:hornet_base_gf": _keras("hornet_base_gf_224_imagenet", "c08c8dc1666c4afbc98e856fa7e53c99"),
  "keras:hornet_large_7x7_in22k": _keras(
    "hornet_large_224_imagenet22k", "27e7a8f18657c82cf9ad07dc21df9a35"
  ),
  "keras:hornet_large_gf_in22k": _keras(
    "hornet_large_gf_224_imagenet22k", "ffd3e68dae2a365d0ecb5df2f0ea881b"
  ),
  "keras:hornet_large_gf_img384_in22k": _keras(
    "hornet_large_gf_384_imagenet22k", "1e3bd0f4b63f65ff7aa3397129ff7a23"
  ),
}


def is_published(name: str) -> bool:
  """Returns whether a name is that of a published checkpoint, and not of a file."""
  return name.partition(":")[0] in {_TIMM, *(known.partition(":")[0] for known in PUBLISHED)}


def variant_of(name: str) -> str | None:
  """Returns the name of the model that a published checkpoint holds; None if its file tells."""
  source, _, rest = name.partition(":")
  return None if source == _TIMM else rest.removesuffix("_in22k")


def locate(name: str) -> pathlib.Path:
  """Returns the local file of a published checkpoint, and downloads it where it is missing.

  The file lies in $HORNET_CACHE, or else in `cache_folder`. Of `timm:NAME` it lies in a folder of
  its own, with timm's `config.json`.

  Raises:
    InputError: if the name is unknown, the download failed or the checksum is wrong.
  """
  chosen = os.environ.get("HORNET_CACHE")
  cache = pathlib.Path(expanded(chosen, "$HORNET_CACHE")) if chosen else cache_folder()
  stem = name.replace(":", "_")
  source, _, model = name.partition(":")
  if source == _TIMM:
    # Weights last: once they are there, all is.
    weights = cache / stem / "model.safetensors"
    for place in (weights.with_name("config.json"), weights):
      _get(name, f"{_HUB}/{model}/resolve/main/{place.name}", place)
    return weights
  if name not in PUBLISHED:
    raise unknown_name("published checkpoint", name, PUBLISHED)
  published = PUBLISHED[name]
  path = cache / f"{stem}{'.h5' if published.url.endswith('.h5') else '.pth'}"
  _get(name, published.url, path)
  with path.open("rb") as file:
    digest = hashlib.file_digest(file, published.algorithm).hexdigest()
  if not digest.startswith(published.digest):
    raise InputError(
      f"{path} must have the {published.algorithm} {published.digest[:8]}...: got {digest[:8]}. "
      "Hint: delete it, and get it again."
    )
  return path


def _get(name: str, url: str, path: pathlib.Path) -> None:
  """Downloads a file where it is missing."""
  if path.exists():
    return
  path.parent.mkdir(parents=True, exist_ok=True)
  with locked(epath.Path(f"{path}.lock"), name, wait=True):
    if not path.exists():  # another process may have got it meanwhile
      _download(name, url, path)


def _download(name: str, url: str, path: pathlib.Path) -> None:
  partial = path.with_name(f"{path.name}.partial")
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer, partial.open("wb") as file:
      total = int(answer.headers.get("Content-Length") or 0) or None
      with tqdm(total=total, unit="B", unit_scale=True, desc=name, disable=None) as progress:
        while chunk := answer.read(_CHUNK):
          file.write(chunk)
          progress.update(len(chunk))
  except (OSError, urllib.error.URLError) as error:
    partial.unlink(missing_ok=True)
    raise InputError(
      f"{name} cannot be downloaded from {url}: {error}. Hint: get the file elsewhere and put it "
      f"at {path}."
    ) from error
  partial.replace(path)
