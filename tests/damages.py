"""What may happen to the files of a run: each of `DAMAGES` is dealt by chance, and tells where."""

import os
import shutil

from etils import epath

from hornet_jax.checkpoints import manifest


def files_of(workdir):
  """The files of a run, but its lock."""
  return [path for path in workdir.rglob("*") if path.is_file() and path.name != "run.lock"]


def damaged_file(rng, workdir):
  """A file of the run, more often one of a checkpoint."""
  files = files_of(workdir)
  inside = [path for path in files if "checkpoints" in path.parts]
  return rng.choice(sorted(inside if inside and rng.random() < 0.7 else files))


def flip(rng, workdir):
  path = damaged_file(rng, workdir)
  content = bytearray(path.read_bytes())
  if content:
    place = rng.randrange(len(content))
    content[place] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
  return path


def truncate(rng, workdir):
  path = damaged_file(rng, workdir)
  os.truncate(path, rng.randrange(path.stat().st_size + 1))
  return path


def delete(rng, workdir):
  path = damaged_file(rng, workdir)
  if rng.random() < 0.3 and "checkpoints" in path.parts:
    path = path.parent
    shutil.rmtree(path)
  else:
    path.unlink()
  return path


def rename(rng, workdir):
  folders = [path for path in (workdir / "checkpoints").glob("*") if path.name.isdecimal()]
  if not folders:
    return "nothing"
  path = rng.choice(sorted(folders))
  other = path.with_name(str(rng.randrange(1, 23)))
  if not other.exists():
    if rng.random() < 0.3:
      other.symlink_to(path.name)
    else:
      path.rename(other)
  return f"checkpoints/{path.name} -> {other.name}"


def intact_steps(workdir):
  """The steps of a run that can be gone on from."""
  folders = [path for path in (workdir / "checkpoints").glob("*") if path.name.isdecimal()]
  intact = manifest.Integrity.INTACT
  return [p.name for p in folders if manifest.check(epath.Path(p)).state == intact]


DAMAGES = {"flip": flip, "truncate": truncate, "delete": delete, "rename": rename}
