"""Which checkpoints are kept, and which checksums are trusted without reading."""

import base64

import pytest
from etils import epath
from small_checkpoints import save_three

from hornet_jax.checkpoints import manifest
from hornet_jax.checkpoints.manifest import Integrity
from hornet_jax.checkpoints.retention import StepFolder, surplus


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  return save_three(tmp_path_factory.mktemp("saved"))


@pytest.mark.parametrize(
  ("states", "keep", "keep_best", "expected"),
  [
    ("III", 1, 0, [1, 2]),
    ("III", 1, 1, [1]),  # step 2 is the best
    ("IID", 1, 0, [1]),
    ("IDD", 1, 0, []),
    ("UII", 1, 0, [1, 2]),
    ("IIU", 1, 0, [1]),
    ("UUU", 2, 0, [1]),
    ("UDU", 1, 0, [1]),
    ("DDD", 1, 0, []),
  ],
)
def test_surplus(states, keep, keep_best, expected, saved):
  by_letter = {"I": Integrity.INTACT, "U": Integrity.UNVERIFIED, "D": Integrity.DAMAGED}
  path = epath.Path(saved)
  steps = [StepFolder(step, path / f"{step}0") for step in (1, 2, 3)]
  found = {step: by_letter[letter] for step, letter in zip((1, 2, 3), states, strict=True)}
  assert [
    folder.step for folder in surplus(steps, found, keep, keep_best, "eval_ema/top1")
  ] == expected


def test_checksums_that_the_store_keeps_are_not_read_again(monkeypatch):
  class Store:
    def info(self, name):
      return {"bucket/a": {"md5Hash": base64.b64encode(b"\x01" * 16).decode()}, "bucket/b": {}}[
        name
      ]

  path = epath.Path("gs://bucket/a")
  monkeypatch.setattr(
    "fsspec.core.url_to_fs", lambda url: (Store(), url.removeprefix("gs://")), raising=True
  )
  assert manifest._stored_md5(path) == "01" * 16
  assert manifest._stored_md5(epath.Path("gs://bucket/b")) is None  # a composite object
  assert manifest._stored_md5(epath.Path("/local")) is None
