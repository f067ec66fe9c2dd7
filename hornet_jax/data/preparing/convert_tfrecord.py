"""This module writes a prepared TFRecord dataset as ArrayRecord; it needs TensorFlow."""

import pathlib

from hornet_jax.data.datasets import ARRAY_RECORD
from hornet_jax.errors import InputError


def convert_tfrecord(source: str, target: str) -> None:
  """Writes a prepared TFRecord dataset as ArrayRecord, example by example as it is.

  TFDS's own converter does the same, but imports Apache Beam even where it is not used.

  Args:
    source: folder of the dataset's version.
    target: folder for the new one; where it is `source`, the new files lie beside the old.
  """
  from tensorflow_datasets.core import dataset_info, file_adapters

  old, new = pathlib.Path(source), pathlib.Path(target)
  info = dataset_info.read_proto_from_builder_dir(old)
  if info.file_format != "tfrecord":
    raise InputError(f"{source} must hold TFRecord files: it holds {info.file_format!r}.")
  reader, writer = file_adapters.TfRecordFileAdapter, file_adapters.ArrayRecordFileAdapter
  splits = dataset_info.get_split_dict_from_proto(info, old, file_adapters.FileFormat.TFRECORD)
  new.mkdir(parents=True, exist_ok=True)
  for split in splits.values():
    template = split.filename_template.replace(data_dir=new, filetype_suffix=ARRAY_RECORD)
    for i, length in enumerate(split.shard_lengths):
      shard = split.filename_template.sharded_filepath(
        shard_index=i, num_shards=len(split.shard_lengths)
      )
      written = template.sharded_filepath(shard_index=i, num_shards=len(split.shard_lengths))
      records = (record.numpy() for record in reader.make_tf_data(shard))
      writer.write_examples(written, enumerate(records))
      if writer.num_examples(written) != length:
        raise InputError(
          f"{shard} must hold {length} examples as dataset_info.json says: got "
          f"{writer.num_examples(written)}. Hint: copy or prepare it again."
        )
  # The description last: a folder without it is not prepared.
  if old == new:
    info.alternative_file_formats.append(ARRAY_RECORD)
  else:
    for file in [*old.glob("*.json"), *old.glob("*.txt")]:
      if file.name != "dataset_info.json":
        (new / file.name).write_bytes(file.read_bytes())
    info.file_format = ARRAY_RECORD
  dataset_info.write_dataset_info_proto(info, dataset_info_dir=new)
