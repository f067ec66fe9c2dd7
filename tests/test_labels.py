"""Labels in a table beside the images, and images to evaluate on elsewhere."""

import pytest
from test_folder import encoded, write

from hornet_jax.data.preparing.folder import find_in_folders
from hornet_jax.data.preparing.labels import find_by_labels
from hornet_jax.data.preparing.own_images import check_and_split
from hornet_jax.errors import InputError


@pytest.fixture
def images(tmp_path):
  for name in ("a.png", "b.png", "sub/c.png", "sub/d é.png"):
    write(tmp_path / "images" / name, encoded())
  return tmp_path / "images"


def table(images, text, encoding="utf-8"):
  file = images.parent / "labels.csv"
  file.write_bytes(text.encode(encoding))
  return file


def named(found):
  return {
    split: [(file.relative_to(found.path).as_posix(), label) for file, label in items]
    for split, items in found.splits.items()
  }


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_table_with_splits(images, separator, encoding):
  rows = [
    ("Filename", "width", "Class", "Split"),
    ("a.png", "3", "10", "train"),
    ("sub/d é.png", "3", "9", "TRAIN"),
    ("b.png", "3", "10", "val"),
    ("sub/c.png", "3", "9", "test"),
    ("sub/none.png", "3", "9", "test"),
  ]
  found = find_by_labels(
    images, table(images, "\n".join(separator.join(row) for row in rows), encoding)
  )
  assert found.class_names == ["9", "10"]  # numbers, by value
  assert named(found) == {
    "train": [("sub/d é.png", 0), ("a.png", 1)],
    "validation": [("b.png", 1)],
    "test": [("sub/c.png", 0)],
  }
  write(images / "unnamed.png", encoded())
  assert find_by_labels(images, images.parent / "labels.csv").left_out == {
    images / "sub/none.png": "named in the table, but not there",
    images / "unnamed.png": "not named in the table",
  }
  assert found.rule == "by the column Split of labels.csv"


def test_a_table_without_splits_is_split_by_rule(images):
  rows = 'path,label\r\na.png,dog\r\nb.png,dog\r\nsub/c.png,cat\r\n"sub/d é.png",cat\r\n'
  split = check_and_split(find_by_labels(images, table(images, rows)), 0.5)
  assert split.class_names == ["cat", "dog"]
  assert (split.counts("train"), split.counts("test")) == ([1, 1], [1, 1])


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("", "CSV file with a row of names"),
    ("path,label\n", "has none"),
    ("name,label\na.png,x\n", r"one column named path, .* has 'name', 'label'"),
    ("path,file,label\na.png,a.png,x\n", "one column named path"),
    ("path,label\na.png\n", "line 2: expected a path and a label, got 'a.png' and ''"),
    ("path,label\na.png,x\na.png,y\n", "line 3: 'a.png' must have one label: got 'y' after 'x'"),
    ("path,label,split\na.png,x,trane\n", "line 2: expected a split, .* got 'trane'"),
    ("path,label,split\na.png,x,train\n", "must have train and val or test .*: got train"),
    ("path,label\na.png,x\n./sub/../a.png,y\n", "line 3: 'a.png' must have one label"),
    ("path,label\n../a.png,x\n", r"line 2: expected a path within .*got '\.\./a\.png'"),
    ("path,label\nnone.png,x\n", "found none of 1, such as .*none.png.*relative to --path"),
  ],
)
def test_what_is_no_table(images, text, message):
  with pytest.raises(InputError, match=message):
    find_by_labels(images, table(images, text))


def test_absolute_paths_in_the_folder(images, monkeypatch):
  rows = "".join(f"{images / name},{name[0]}\n" for name in ("a.png", "b.png", "sub/c.png"))
  file = table(images, f"path,label\n{rows}{images / 'sub/d é.png'},s\n")
  monkeypatch.chdir(images.parent)
  found = find_by_labels(images.relative_to(images.parent), file)
  assert named(found)["all"] == [("a.png", 0), ("b.png", 1), ("sub/c.png", 2), ("sub/d é.png", 2)]
  assert not found.left_out


def test_a_folder_elsewhere_to_evaluate_on(tmp_path):
  """It may lack classes; one that it has alone is a class, too."""
  for name in ("mine/cat/1", "mine/dog/1", "mine/dog/2", "theirs/dog/1", "theirs/fox/1"):
    write(tmp_path / f"{name}.png", encoded())
  images = check_and_split(find_in_folders(tmp_path / "mine", tmp_path / "theirs"))
  assert images.class_names == ["cat", "dog", "fox"]
  assert images.rule == "by its folders mine, theirs"
  assert (images.counts("train"), images.counts("validation")) == ([1, 2, 0], [0, 1, 1])
  write(tmp_path / "split/train/cat/1.png", encoded())
  write(tmp_path / "split/val/cat/1.png", encoded())
  with pytest.raises(InputError, match="`eval_path` is not used where folders make the split"):
    find_in_folders(tmp_path / "split", tmp_path / "theirs")
  with pytest.raises(InputError, match="must be another folder than `path`"):
    find_in_folders(tmp_path / "mine", tmp_path / "mine")
  with pytest.raises(InputError, match=r"must be a folder of class folders: .*nowhere is none"):
    find_in_folders(tmp_path / "mine", tmp_path / "nowhere")
