"""ImageNet-22K from both kinds of archives, with what such archives hold by mistake."""

import os
import tarfile

import pytest
from test_folder import encoded

from hornet_jax.cli.main import main
from hornet_jax.data.datasets import open_split
from hornet_jax.data.generated import tar_of
from hornet_jax.data.imagenet22k import Archives, read_class_list
from hornet_jax.errors import InputError

CAT, DOG, EMPTY, OTHER = "n00000003", "n00000002", "n00000001", "n00000009"


def image(color):
  return encoded(color=color, size=(8, 6))


IMAGES = {
  CAT: [(f"{CAT}_{i}.JPEG", image((i, 0, 0))) for i in range(4)],
  DOG: [(f"{DOG}_{i}.JPEG", image((0, i + 1, 0))) for i in range(3)],
  OTHER: [(f"{OTHER}_0.JPEG", image((9, 9, 9)))],
}
MISTAKES = {
  CAT: [
    (f"{CAT}_9.JPEG", image((0, 0, 0))),  # the same bytes as the first
    (f"{CAT}_1.JPEG", image((7, 7, 7))),  # the same name as the second
    ("../../etc/passwd.JPEG", image((1, 2, 3))),
    ("/abs.JPEG", image((1, 2, 4))),
  ],
  DOG: [(f"{DOG}_7.JPEG", b"no image")],
}


def members(synset):
  return IMAGES.get(synset, []) + MISTAKES.get(synset, [])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp("tars")
  for synset in (CAT, DOG, EMPTY, OTHER):
    (path / f"{synset}.tar").write_bytes(tar_of(members(synset)))
  with tarfile.open(path / f"{DOG}.tar", "a") as archive:
    link = tarfile.TarInfo(f"{DOG}_8.JPEG")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    archive.addfile(link)
  return path


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
  """One compressed tar of the tars."""
  path = tmp_path_factory.mktemp("whole") / "winter21_whole.tar.gz"
  with tarfile.open(path, "w:gz") as archive:
    for tar in sorted(folder.iterdir()):
      archive.add(tar, f"winter21_whole/{tar.name}")
  return path


def test_every_file_is_used_or_named(folder):
  source = Archives(folder)
  assert source.synsets() == [DOG, CAT, OTHER]
  source = Archives(folder)
  found = [(image.synset, image.name, image.content) for image in source.images([CAT, DOG, EMPTY])]
  assert found == [(s, *entry) for s in (DOG, CAT) for entry in IMAGES[s]]
  outside = "a name that leads outside, or no regular file"
  assert source.left_out == {
    f"{EMPTY}.tar": "an archive without an image",
    f"{DOG}/{DOG}_7.JPEG": "no image format that Pillow knows",
    f"{DOG}.tar/{DOG}_8.JPEG": outside,
    f"{CAT}/{CAT}_9.JPEG": "a duplicate, by name or by content",
    f"{CAT}/{CAT}_1.JPEG": "a duplicate, by name or by content",
    f"{CAT}.tar/../../etc/passwd.JPEG": outside,
    f"{CAT}.tar//abs.JPEG": outside,
    OTHER: "not in the class list: 1 files",
    EMPTY: "without an image",
  }


def test_one_tar_of_folders(folder, tmp_path):
  path = tmp_path / "all.tar"
  content = [(f"root/{s}/{name}", data) for s in (CAT, DOG) for name, data in IMAGES[s]]
  path.write_bytes(tar_of([*content, ("root/readme.txt", b"text")]))
  source = Archives(path)
  assert [image.synset for image in source.images([CAT, DOG])] == [CAT] * 4 + [DOG] * 3
  assert source.left_out == {"all.tar/root/readme.txt": "not in a synset"}


@pytest.fixture(scope="module")
def prepared(folder, whole, tmp_path_factory):
  """Both forms, as builds of their own."""
  data_dir = tmp_path_factory.mktemp("data")
  classes = data_dir / "classes.txt"
  classes.write_text(f"{CAT}\n{DOG}\n{OTHER}\n{EMPTY}\n")
  for build, archives in (("fall11", folder), ("winter21", whole)):
    arguments = [f"--archives={archives}", f"--classes={classes}", f"--data_dir={data_dir}"]
    assert main(["prepare", f"imagenet22k/{build}", *arguments]) == 0
  return str(data_dir)


def test_both_forms_give_the_same_dataset(prepared):
  examples = []
  for build in ("fall11", "winter21"):
    split = open_split(f"imagenet22k/{build}", "train", prepared)
    assert split.class_names == [EMPTY, DOG, CAT, OTHER]
    rows = [(e["file_name"].decode(), e["label"], e["image"]) for e in split.source]
    examples.append(sorted(rows))
  assert examples[0] == examples[1]
  assert len(examples[0]) == 8
  for name, label, _ in examples[0]:
    assert [EMPTY, DOG, CAT, OTHER][label] == name.partition("/")[0]
  left_out = os.path.join(prepared, "imagenet22k", "winter21", "1.0.0", "left_out.txt")
  with open(left_out) as file:
    assert f"{DOG}/{DOG}_7.JPEG\tno image format" in file.read()


def test_broken_archives_are_named(whole, tmp_path):
  cut = tmp_path / "cut.tar.gz"
  cut.write_bytes(whole.read_bytes()[:-200])
  with pytest.raises(InputError, match="must be a whole tar archive"):
    Archives(cut).synsets()
  cut.write_bytes(b"text")
  with pytest.raises(InputError, match="must be a whole tar archive"):
    list(Archives(cut).images([CAT]))
  with pytest.raises(InputError, match="one tar a synset"):
    Archives(tmp_path / "none").files()


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
