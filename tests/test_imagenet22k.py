"""ImageNet-22K from both kinds of archives, with what such archives hold by mistake."""

import importlib.util
import pathlib
import subprocess
import sys
import tarfile

import pytest
from etils import epath
from small_run import train_a_little
from test_folder import encoded

from hornet_jax.cli.main import main
from hornet_jax.data.datasets import open_split
from hornet_jax.data.preparing.imagenet.generated import tar_of
from hornet_jax.data.preparing.imagenet.imagenet22k import (
  Report,
  add_up,
  find_archives,
  find_synsets,
  read_images,
)
from hornet_jax.data.preparing.imagenet.synsets import read_class_list
from hornet_jax.data.preparing.left_out import left_out_text
from hornet_jax.errors import InputError

CAT, DOG, EMPTY, OTHER = "n00000003", "n00000002", "n00000001", "n00000009"
SYNSETS = [EMPTY, DOG, CAT, OTHER]
OUTSIDE = "a name that leads outside, or no regular file"
DUPLICATE = "a duplicate, by name or by content"


def image(color):
  return encoded(color=color, size=(8, 6))


IMAGES = {
  CAT: [(f"{CAT}_{i}.JPEG", image((i, 0, 0))) for i in range(4)],
  DOG: [(f"{DOG}_{i}.JPEG", image((0, i + 1, 0))) for i in range(3)],
  OTHER: [(f"{OTHER}_caf\udce9.JPEG", image((9, 9, 9)))],  # Latin-1
}
MISTAKES = {
  CAT: [
    (f"{CAT}_9.JPEG", image((0, 0, 0))),  # the same bytes as the first
    (f"{CAT}_1.JPEG", image((7, 7, 7))),  # the same name as the second
    (f"{CAT}_1.JPEG", image((8, 8, 8))),  # once more
    ("../../x/two\nlines.JPEG", image((1, 2, 3))),
    ("/abs.JPEG", image((1, 2, 4))),
  ],
  DOG: [(f"{DOG}_7.JPEG", b"no image")],
}
LEFT_OUT = [
  (f"{EMPTY}.tar", "an archive without an image"),
  (f"{DOG}/{DOG}_7.JPEG", "no image format that Pillow knows"),
  (f"{DOG}.tar/{DOG}_8.JPEG", OUTSIDE),
  (f"{CAT}/{CAT}_9.JPEG", DUPLICATE),
  (f"{CAT}/{CAT}_1.JPEG", DUPLICATE),
  (f"{CAT}/{CAT}_1.JPEG", DUPLICATE),
  (f"{CAT}.tar/../../x/two\\nlines.JPEG", OUTSIDE),
  (f"{CAT}.tar//abs.JPEG", OUTSIDE),
]


def text_of(left_out):
  return "".join(sorted(f"{name}\t{reason}\n" for name, reason in left_out))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = epath.Path(tmp_path_factory.mktemp("tars"))
  for synset in SYNSETS:
    members = IMAGES.get(synset, []) + MISTAKES.get(synset, [])
    (path / f"{synset}.tar").write_bytes(tar_of(members))
  with tarfile.open(path / f"{DOG}.tar", "a") as archive:
    link = tarfile.TarInfo(f"{DOG}_8.JPEG")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    archive.addfile(link)
  return path


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
  """One compressed tar of the tars."""
  path = epath.Path(tmp_path_factory.mktemp("whole")) / "winter21_whole.tar.gz"
  with tarfile.open(path, "w:gz") as archive:
    for tar in sorted(folder.iterdir()):
      archive.add(tar, f"winter21_whole/{tar.name}")
  return path


def read(path, class_names):
  """(images, report) of every archive, each read on its own."""
  images, reports = [], []
  for archive in find_archives(path):
    reports.append(Report())
    found = read_images(archive, frozenset(class_names), reports[-1])
    images += [(i.synset, i.name, i.content) for i in found]
  return images, reports


def test_every_file_is_used_or_named(folder):
  assert find_synsets(find_archives(folder)) == [DOG, CAT, OTHER]
  images, reports = read(folder, [CAT, DOG, EMPTY])
  assert images == [(s, *entry) for s in (DOG, CAT) for entry in IMAGES[s]]
  expected = [*LEFT_OUT, (OTHER, "not in the class list: 1 file"), (EMPTY, "without an image")]
  for order in (reports, reports[::-1]):
    assert left_out_text(add_up(order, frozenset([CAT, DOG, EMPTY]))) == text_of(expected)


def test_one_tar_of_folders(tmp_path):
  path = epath.Path(tmp_path / "all.tar")
  content = [(f"root/{s}/{name}", data) for s in (CAT, DOG) for name, data in IMAGES[s]]
  path.write_bytes(tar_of([*content, ("root/readme.txt", b"text")]))
  assert find_synsets([path]) == [DOG, CAT]
  images, reports = read(path, [CAT, DOG])
  assert [synset for synset, *_ in images] == [CAT] * 4 + [DOG] * 3
  assert [report.left_out for report in reports] == [
    [("all.tar/root/readme.txt", "not in a synset")]
  ]


def test_synsets_that_interleave(tmp_path):
  path = epath.Path(tmp_path / "all.tar")
  first, second = IMAGES[CAT][:2]
  dog = IMAGES[DOG][0]
  again = ("b.JPEG", first[1])  # the same content
  content = [(CAT, first), (DOG, dog), (CAT, first), (CAT, again), (DOG, dog), (CAT, second)]
  # Of another synset, the same photograph is another example.
  content.append((DOG, first))
  path.write_bytes(tar_of([(f"{synset}/{name}", data) for synset, (name, data) in content]))
  images, (report,) = read(path, [CAT, DOG])
  assert images == [(s, *i) for s, i in ((CAT, first), (DOG, dog), (CAT, second), (DOG, first))]
  names = [f"{CAT}/{first[0]}", f"{CAT}/b.JPEG", f"{DOG}/{dog[0]}"]
  assert report.left_out == [(name, DUPLICATE) for name in names]
  examples, left_out = prepare_by_command("imagenet22k/winter21", path, tmp_path)
  assert len(examples) == 4
  assert left_out.count(DUPLICATE) == 3


def prepare_by_command(name, archives, data_dir, *arguments):
  """Prepares all four synsets; returns sorted examples and the text of what is left out."""
  classes = pathlib.Path(data_dir) / "classes.txt"
  classes.write_text("\n".join([CAT, DOG, OTHER, EMPTY]))
  flags = [f"--archives={archives}", f"--classes={classes}", f"--data_dir={data_dir}"]
  assert main(["prepare", name, *flags, *arguments]) == 0
  split = open_split(name, "train", str(data_dir))
  assert split.class_names == SYNSETS
  examples = sorted((e["file_name"].decode(), e["label"], e["image"]) for e in split.source)
  return examples, (pathlib.Path(data_dir) / name / "1.0.0" / "left_out.txt").read_text()


def test_both_forms_give_the_same_dataset(folder, whole, tmp_path):
  examples, left_out = prepare_by_command("imagenet22k/fall11", folder, tmp_path)
  expected = [
    (f"{s}/{name.replace(chr(0xDCE9), chr(92) + 'udce9')}", SYNSETS.index(s), data)
    for s in IMAGES
    for name, data in IMAGES[s]
  ]
  assert examples == sorted(expected)
  assert left_out == text_of([*LEFT_OUT, (EMPTY, "without an image")])
  streamed, left_out_of_whole = prepare_by_command("imagenet22k/winter21", whole, tmp_path)
  assert streamed == examples
  relative = left_out_of_whole.replace(f"{whole.name}/winter21_whole/", "")
  assert sorted(relative.splitlines()) == left_out.splitlines()


@pytest.mark.beam
# TFDS with the protobuf that Beam needs.
@pytest.mark.filterwarnings(r"ignore:label\(\) is deprecated:DeprecationWarning")
def test_beam_gives_the_same_dataset(folder, tmp_path_factory):
  name = "imagenet22k/winter21"
  alone = prepare_by_command(name, folder, tmp_path_factory.mktemp("alone"))
  options = "--runner=FnApiRunner --direct_num_workers=2 --direct_running_mode=multi_processing"
  data_dir = tmp_path_factory.mktemp("beam")
  assert prepare_by_command(name, folder, data_dir, f"--beam_options={options}") == alone
  assert len(alone[0]) == 8


@pytest.mark.beam
def test_a_broken_archive_on_beam_is_named(folder, tmp_path, capfd):
  for archive in folder.iterdir():
    (tmp_path / archive.name).write_bytes(archive.read_bytes())
  broken = tmp_path / f"{CAT}.tar"
  broken.write_bytes(broken.read_bytes()[:550])  # in the first image
  flags = [f"--archives={tmp_path}", f"--data_dir={tmp_path / 'data'}"]
  assert (
    main(["prepare", "imagenet22k/fall11", *flags, "--beam_options=--runner=DirectRunner"]) == 2
  )
  lines = capfd.readouterr().err.strip().splitlines()
  assert f"{broken} must be a whole tar archive" in lines[-1]
  assert not (tmp_path / "data" / "imagenet22k" / "fall11" / "1.0.0").exists()


@pytest.mark.parametrize(
  ("archives", "options", "message"),
  [
    ("whole", "--runner=DirectRunner", r"winter21_whole\.tar\.gz, which only one process can read"),
    ("folder", "DirectRunner", "must be flags of Apache Beam: .*got 'DirectRunner'"),
    ("folder", "--runner=DirectRunner", r"which is not installed.*pip install '\.\[beam\]'"),
  ],
)
def test_what_beam_needs(archives, options, message, tmp_path, monkeypatch, request, capfd):
  def found(name, *args, find=importlib.util.find_spec):
    return None if name == "apache_beam" else find(name, *args)

  monkeypatch.setattr(importlib.util, "find_spec", found)
  flags = [f"--archives={request.getfixturevalue(archives)}", f"--data_dir={tmp_path}"]
  assert main(["prepare", "imagenet22k/winter21", *flags, f"--beam_options={options}"]) == 2
  with pytest.raises(InputError, match=message):
    raise InputError(capfd.readouterr().err)


AS_TFDS_DOES = """
import pickle, sys
import tensorflow_datasets as tfds
import hornet_jax.data.preparing.builders.imagenet22k.imagenet22k_dataset_builder as module

archives, data_dir, *class_names = sys.argv[1:]
name = "imagenet22k/winter21"
options = {"data_dir": data_dir, "file_format": "array_record"}
builder = tfds.builder(name, archives=archives, class_names=class_names, **options)
assert isinstance(builder, module.Builder)
assert list(module.Builder.builder_configs) == ["fall11", "winter21", "processed"]
builder = pickle.loads(pickle.dumps(builder))
try:
  module.Builder(config="winter21", class_names=class_names, **options).download_and_prepare()
except ValueError as error:
  print(error)
builder.download_and_prepare()
again = tfds.builder(name, **options)
print(again.info.features["label"].names == class_names, again.info.splits["train"].num_examples)
"""


def test_the_builder_as_others_use_it(folder, tmp_path):
  arguments = [sys.executable, "-c", AS_TFDS_DOES, str(folder), str(tmp_path), DOG, CAT]
  root = pathlib.Path(__file__).parents[1]
  child = subprocess.run(arguments, cwd=root, capture_output=True, text=True, check=False)
  lines = child.stdout.splitlines()
  assert child.returncode == 0, child.stderr
  assert lines[-1] == "True 7"
  assert "`archives` and `class_names` must be given" in child.stdout


@pytest.mark.slow
def test_a_run_from_the_command_line(tmp_path, capfd):
  data_dir = tmp_path / "data"
  name = "imagenet22k/winter21"
  assert main(["prepare", name, "--generated", f"--data_dir={data_dir}"]) == 0
  assert f"{name}/train: 200 images, 20 classes" in capfd.readouterr().out
  train_a_little("imagenet22k.py:variant=large_gf", data_dir, tmp_path / "run", capfd)


def test_broken_archives_are_named(folder, whole, tmp_path):
  for length in (300, 550, 2000):  # in the first name, in the first image, further on
    short = epath.Path(tmp_path / f"{CAT}.tar")
    short.write_bytes((folder / short.name).read_bytes()[:length])
    with pytest.raises(InputError, match=rf"{CAT}\.tar must be a whole tar archive"):
      read(short, [CAT])
  cut = epath.Path(tmp_path / "cut.tar.gz")
  cut.write_bytes(whole.read_bytes()[:-200])
  with pytest.raises(InputError, match="must be a whole tar archive"):
    find_synsets([cut])
  cut.write_bytes(b"text")
  with pytest.raises(InputError, match="must be a whole tar archive"):
    read(cut, [CAT])
  with pytest.raises(InputError, match=r"one tar a synset.*found none"):
    find_archives(epath.Path(tmp_path / "none"))
  (tmp_path / "part1.tar").touch()
  with pytest.raises(InputError, match=r"one tar a synset.*found part1\.tar"):
    find_archives(epath.Path(tmp_path))


def test_class_lists(tmp_path):
  file = tmp_path / "classes.txt"
  file.write_text(f"{CAT}\n{DOG}\n")
  assert read_class_list(file) == [DOG, CAT]
  for text, message in (("cat\n", "got cat"), ("", "got none"), (f"{CAT}\n{CAT}", "some twice")):
    file.write_text(text)
    with pytest.raises(InputError, match=message):
      read_class_list(file)
  with pytest.raises(InputError, match="must be a text file"):
    read_class_list(tmp_path / "none.txt")


def test_the_processed_build_needs_its_list(folder, tmp_path, capfd):
  arguments = [f"--archives={folder}", f"--data_dir={tmp_path}"]
  assert main(["prepare", "imagenet22k/processed", *arguments]) == 2
  assert "expected --classes=FILE with the 10,450 of arXiv 2104.10972" in capfd.readouterr().err
