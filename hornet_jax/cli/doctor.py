"""`doctor` checks, on all hosts of a run, what can be checked before it starts."""

import argparse
import contextlib
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from hornet_jax.cli import config as config_flag
from hornet_jax.cli import hosts
from hornet_jax.cli.failure import explained
from hornet_jax.config.flat import flatten
from hornet_jax.errors import InputError, LostPeerError
from hornet_jax.exit_status import PERSON, describe, exit_status, is_expected
from hornet_jax.files import make_folder, write_file
from hornet_jax.parallel.assert_same import assert_same
from hornet_jax.parallel.mesh import batch_sharding, replicated
from hornet_jax.parallel.rendezvous import Rendezvous
from hornet_jax.paths import in_object_store
from hornet_jax.train.set_up import set_up
from hornet_jax.versions import versions
from hornet_jax.wording import counted

_GB = 1e9


def add_arguments(parser: argparse.ArgumentParser) -> None:
  config_flag.add_argument(parser)
  parser.add_argument(
    "--workdir", help="of the run to come: is it shared by all hosts, with room for checkpoints"
  )
  hosts.add_arguments(parser, timeout=60)


def run(args: argparse.Namespace) -> int:
  try:
    return _run(args)
  except (InputError, LostPeerError) as error:  # that the processes did not come together
    print(f"WRONG hosts: {error}")
    return exit_status(error)


def _run(args: argparse.Namespace) -> int:
  with hosts.joined(args) as rendezvous:
    doctor = _Doctor(args, rendezvous)
    checks: dict[str, Callable[[], str]] = {
      "versions": doctor.versions,
      "config": doctor.config,
      "devices": doctor.devices,
      "data": doctor.data,
    }
    if args.workdir:
      checks["workdir"] = doctor.workdir
    checks["collective"] = doctor.collective
    for name, check in checks.items():
      if not doctor.report(name, check):
        return PERSON  # what follows may need it, and hang
  return 0


class _Doctor:
  """A `_Doctor` does the checks; each returns a line on what it found, or raises `InputError`."""

  def __init__(self, args: argparse.Namespace, rendezvous: Rendezvous | None):
    self._args = args
    self._roll_call = rendezvous
    self._trainer: Any = None
    if rendezvous is None:
      print("ok    process 0: hosts: this process alone")
    elif rendezvous.process == 0:
      for number in range(len(rendezvous.hosts)):
        print(f"ok    {rendezvous.name(number)}: hosts: is there")

  def report(self, name: str, check: Callable[[], str]) -> bool:
    """Does a check on all processes; process 0 prints a line for each."""
    with self._in_time(name):
      found = _attempt(check)
      results = self._gather(found)
    if jax.process_index() == 0:
      for number, (good, text) in enumerate(results):
        process = self._roll_call.name(number) if self._roll_call else f"process {number}"
        print(f"{'ok   ' if good else 'WRONG'} {process}: {name}: {text}", flush=True)
    return all(good for good, _ in results)

  @contextlib.contextmanager
  def _in_time(self, name: str) -> Iterator[None]:
    seconds = self._args.timeout
    process = self._roll_call.process if self._roll_call else 0
    with hosts.deadline(float(seconds), f"process {process}: {name} took longer than {seconds} s"):
      yield

  def _gather(self, value: Any) -> list[Any]:
    return self._roll_call.gather(value) if self._roll_call else [value]

  def _together(self, local: Callable[[], Any]) -> list[Any]:
    """Lists what `local` returns in each process; where it fails in one, all raise `InputError`."""
    found = _attempt(local)
    results = self._gather(found)
    if not found[0]:
      raise InputError(found[1])
    failed = [number for number, (good, _) in enumerate(results) if not good]
    if failed:
      raise InputError(f"not done, as process {failed[0]} could not")
    return [value for _, value in results]

  def versions(self) -> str:
    found = versions()
    if self._roll_call:
      assert_same(self._roll_call, "versions", found)
    return ", ".join(f"{name} {version}" for name, version in found.items())

  def config(self) -> str:
    def load() -> None:
      self._config = config_flag.load(self._args.config, self._args.overrides)

    self._together(load)
    if self._roll_call:
      assert_same(self._roll_call, "configs", flatten(self._config))
    return self._args.config

  def devices(self) -> str:
    kinds = self._gather([f"{jax.local_device_count()} x {jax.local_devices()[0].device_kind}"])
    if len({kind for (kind,) in kinds}) > 1:
      listed = ", ".join(f"process {i}: {kind}" for i, (kind,) in enumerate(kinds))
      raise InputError(f"all hosts must have the same devices: got {listed}.")
    self._trainer, self._inputs = set_up(self._config)
    self._trainer.check_batch()
    shape = " x ".join(f"{name} {size}" for name, size in self._trainer.mesh.shape.items())
    return f"{kinds[0][0]}, mesh {shape}, {counted(self._trainer.mesh.size, 'device')}"

  def data(self) -> str:
    inputs = self._inputs
    split = inputs.splits.train
    open_files = self._together(inputs.check_open_files)[0]
    begin = time.perf_counter()

    def read() -> list[int]:
      with contextlib.closing(inputs.train_batches(0)) as batches:
        weights = next(batches)["weight"]
      undecodable = int(np.sum(weights == 0))
      if undecodable:
        raise InputError(
          f"{undecodable} images of the first batch of {split.name} are undecodable."
        )
      return [len(weights), len(split.source), len(inputs.splits.eval.source)]

    found = self._together(read)
    seconds = time.perf_counter() - begin
    counts = [of_process[1:] for of_process in found]
    if any(count != counts[0] for count in counts):
      raise InputError(f"all hosts must have the same dataset: examples are {counts}, by process.")
    return (
      f"{split.name}, {counted(len(split.source), 'example')}, {found[0][0]} read in "
      f"{seconds:.1f} s; {open_files}"
    )

  def workdir(self) -> str:
    folder = epath.Path(self._args.workdir)

    def write() -> str:
      make_folder(folder)
      name = f"doctor-{uuid.uuid4().hex}"
      if jax.process_index() == 0:
        write_file(folder / name, "seen by all hosts?")
      return name

    probe = folder / self._together(write)[0]
    seen = probe.exists()
    self._gather(None)
    if jax.process_index() == 0:
      probe.unlink()
    if not seen:
      raise InputError(
        f"{folder} must be a folder that all hosts share: a file of process 0 is not seen here. "
        "Hint: gs://BUCKET/RUN, or a network file system."
      )
    return f"{folder}, {self._room(folder)}"

  def _room(self, folder: epath.Path) -> str:
    if in_object_store(self._args.workdir):
      return "an object store: its quota is not checked"
    retention = self._trainer.config["checkpoint"]
    state = jax.tree.leaves(self._trainer.abstract_state())
    # One more is there while it is being written.
    count = retention["keep"] + retention["keep_best"] + len(retention["branch_epochs"]) + 1
    needed = count * sum(leaf.size * leaf.dtype.itemsize for leaf in state) / _GB
    free = shutil.disk_usage(folder).free / _GB
    if free < needed:
      raise InputError(
        f"{folder} must have room for {counted(count, 'checkpoint')}: expected {needed:.3g} GB, "
        f"got {free:.3g} GB. Hint: free some, or lower checkpoint.keep."
      )
    return f"{free:.3g} GB free, {needed:.3g} GB needed for {counted(count, 'checkpoint')}"

  def collective(self) -> str:
    mesh = self._trainer.mesh
    ones = jax.make_array_from_callback(
      (mesh.size,), batch_sharding(mesh), lambda index: np.ones(mesh.size)[index]
    )
    begin = time.perf_counter()
    total = float(jax.jit(jnp.sum, out_shardings=replicated(mesh))(ones))
    if total != mesh.size:
      raise InputError(f"the sum over all devices must be {mesh.size}: got {total}.")
    seconds = time.perf_counter() - begin
    return f"sum over {counted(mesh.size, 'device')} in {seconds:.1f} s, compiling included"


def _attempt(call: Callable[[], Any]) -> list[Any]:
  """Tells whether a call succeeded, and what it returned or how it failed."""
  try:
    return [True, call()]
  except Exception as error:
    told = explained(error)
    if not is_expected(told):
      raise
    return [False, describe(told)]
