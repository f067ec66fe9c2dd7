"""The digits in more shards than files may be open at first."""

import itertools
import json
import pathlib
import shutil

from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

SHARDS = 1100


def write_many_shards(data_dir, folder):
  """Writes the prepared digits of `data_dir` with an example or two a shard; returns `folder`."""
  source = pathlib.Path(data_dir) / "digits" / "1.0.0"
  target = pathlib.Path(folder) / "digits" / "1.0.0"
  shutil.copytree(source, target)
  (whole,) = target.glob("digits-train*")
  reader = ArrayRecordReader(str(whole))
  examples = reader.read_all()
  reader.close()
  whole.unlink()
  bounds = [i * len(examples) // SHARDS for i in range(SHARDS + 1)]
  for i in range(SHARDS):
    name = f"digits-train.array_record-{i:05d}-of-{SHARDS:05d}"
    writer = ArrayRecordWriter(str(target / name), "group_size:1")
    for example in examples[bounds[i] : bounds[i + 1]]:
      writer.write(example)
    writer.close()
  info = json.loads((target / "dataset_info.json").read_text())
  lengths = [str(b - a) for a, b in itertools.pairwise(bounds)]
  next(s for s in info["splits"] if s["name"] == "train")["shardLengths"] = lengths
  (target / "dataset_info.json").write_text(json.dumps(info))
  return str(folder)
