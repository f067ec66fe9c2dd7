"""Where the published checkpoints are."""

import dataclasses
import hashlib
import os
import pathlib
import urllib.error
import urllib.request

from tqdm import tqdm

from hornet_jax.errors import InputError, unknown_name

_TIMEOUT = 20  # seconds without an answer
_CHUNK = 1 << 20


@dataclasses.dataclass(frozen=True)
class Published:
  """One file.

  Attributes:
    url: where it is, or was: some links of 2022 are dead.
    sha256: the first digits of its checksum, where its publisher gives them; else empty.
  """

  url: str
  sha256: str = ""


def _official(link: str) -> Published:
  return Published(f"https://cloud.tsinghua.edu.cn/f/{link}/?dl=1")


def _mmpretrain(name: str, sha256: str) -> Published:
  root = "https://download.openmmlab.com/mmclassification/v0/hornet"
  return Published(f"{root}/hornet-{name}_3rdparty_in1k_20220915-{sha256}.pth", sha256)


PUBLISHED = {
  # Source: README of the official repository. _in22k: pretrained on ImageNet-22K, with its head.
  "official:hornet_tiny_7x7": _official("762f05c3c8cd4743b534"),
  "official:hornet_tiny_gf": _official("395dd6c443ed4a339739"),
  "official:hornet_small_7x7": _official("9d7043023da14e4b8b2e"),
  "official:hornet_small_gf": _official("19eef725b2e64692b8b0"),
  "official:hornet_base_7x7": _official("836ab04898c646c389ce"),
  "official:hornet_base_gf": _official("60f706e36f6b4098a1f9"),
  "official:hornet_large_7x7_in22k": _official("4de41e26cb254c28a61a"),
  "official:hornet_large_gf_in22k": _official("8679b6acf63c41e285d9"),
  "official:hornet_large_gf_img384_in22k": _official("f36957d46eef47da9c25"),
  # Source: mmpretrain, configs/hornet/metafile.yml. The official weights under other names.
  "mmpretrain:hornet_tiny_7x7": _mmpretrain("tiny", "0e8eedff"),
  "mmpretrain:hornet_tiny_gf": _mmpretrain("tiny-gf", "4c35a66b"),
  "mmpretrain:hornet_small_7x7": _mmpretrain("small", "5935f60f"),
  "mmpretrain:hornet_small_gf": _mmpretrain("small-gf", "649ca492"),
  "mmpretrain:hornet_base_7x7": _mmpretrain("base", "a06176bb"),
  "mmpretrain:hornet_base_gf": _mmpretrain("base-gf", "82c06fa7"),
}


def is_published(name: str) -> bool:
  """Whether a name is meant for `PUBLISHED`, and not for a file."""
  return name.partition(":")[0] in {known.partition(":")[0] for known in PUBLISHED}


def locate(name: str) -> pathlib.Path:
  """The local file of a published checkpoint, downloaded where it is not there yet.

  It lies in $HORNET_CACHE, or else ~/.cache/hornet_jax.

  Raises:
    InputError: if the name is unknown, the download failed or the checksum is another.
  """
  if name not in PUBLISHED:
    raise unknown_name("published checkpoint", name, PUBLISHED)
  published = PUBLISHED[name]
  cache = pathlib.Path(os.environ.get("HORNET_CACHE") or "~/.cache/hornet_jax").expanduser()
  path = cache / f"{name.replace(':', '_')}.pth"
  if not path.exists():
    _download(name, published.url, path)
  digest = _sha256(path)
  if not digest.startswith(published.sha256):
    raise InputError(
      f"{path} must have the checksum {published.sha256}...: got {digest[:8]}. Hint: delete it, "
      "and get it again."
    )
  return path


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


def _sha256(path: pathlib.Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()
