"""Datasets of things, as the command line makes them of annotations in COCO's format."""

import json
import zipfile

import numpy as np
import pytest
from coco_files import annotation, coco, image, write_set
from etils import epath
from pair_files import photo, write
from training_sizes import size_of

from hornet_jax.cli.main import main
from hornet_jax.data.category_ids import CATEGORIES
from hornet_jax.data.datasets import (
  LABEL,
  MASK,
  OBJECTS,
  default_splits,
  open_split,
)
from hornet_jax.data.pixels.decode import decode_pixels
from hornet_jax.data.preparing.coco.coco import find_coco
from hornet_jax.data.preparing.coco.coco_values import BrokenEntryError
from hornet_jax.data.preparing.coco.find_instances import find_in_files, find_instances
from hornet_jax.data.preparing.coco.generated_coco import write_coco_folder
from hornet_jax.data.preparing.coco.image_places import ImagePlaces, read_place
from hornet_jax.data.preparing.coco.own_instances import check_and_split_instances
from hornet_jax.data.preparing.shapes import make_scene
from hornet_jax.data.seen_on_images import image_sizes
from hornet_jax.data.views.instances import read_instances, whole_mask
from hornet_jax.errors import InputError


def prepare(tmp_path, *arguments):
  return main(["prepare", *map(str, arguments), f"--data_dir={tmp_path / 'data'}"])


def by_name(opened):
  return {example["file_name"].decode(): example for example in opened.source}


def test_from_annotations_to_exact_things(tmp_path, capfd):
  """Bytes of images, boxes, masks, sizes, numbers, and all that is told and left out."""
  mine = tmp_path / "mine"
  for split, seed in (("train", 0), ("val", 5)):
    for name, size, turn in (("a b/1.jpg", (5, 7), None), ("2.jpg", (8, 4), 6)):
      shape = size[::-1] if turn else size
      write(mine / "images" / split / name, photo(*shape, seed=seed + size[0], turn=turn))
  write(mine / "images" / "train" / "broken.jpg", photo(64, 64)[:-300])
  write(mine / "images" / "train" / "unnamed.jpg", photo())
  things = [
    annotation(1, 11, bbox=[0.5, 1, 3, 2], area=5.5, segmentation=[[0.5, 1, 3.5, 1, 3.5, 3]]),
    annotation(2, 11, category_id=7, bbox=[2, 2, 5, 3], segmentation=None),
    annotation(3, 11, bbox=[2, 2, 5, 0]),
    annotation(4, 14),
  ]
  images = [
    image(11, "a b/1.jpg", height=5, width=7),
    image(12, "2.jpg", height=8, width=4),
    image(13, "../../evil.jpg"),
    image(14, "broken.jpg", height=64, width=64),
    image(15, "lost.jpg"),
  ]
  train = write(mine / "annotations" / "instances_train.json", coco(images, things))
  runs = {"size": [5, 7], "counts": [7, 2, 26]}
  crowd = annotation(8, 1, iscrowd=1, bbox=[1, 2, 1, 2], area=2, segmentation=runs)
  write(
    mine / "annotations" / "instances_val.json",
    coco([image(1, "a b/1.jpg", height=None, width=None), image(2, height=4, width=8)], [crowd]),
  )
  write(mine / "annotations" / "captions_val.json", b"{}")
  assert prepare(tmp_path, "instances", f"--path={mine}", "--name=mine") == 0
  lines = [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]
  path = epath.Path(tmp_path / "data" / "mine" / "1.0.0")
  for line in (
    "split by the files of train, validation",
    "cat 1 1 1 1",
    "dog 1 1 0 0",
    "all 2 2 1 1",
    "1 class without a thing in validation: dog",
    "images without annotations, which are not trained on but with data.empty_images: 1",
    "images turned as their EXIF data say, whose annotations must fit what is seen then: 1",
    "crowds, which are not trained on: 1",
    "things without a mask, for which their box is taken: 1",
    "most things on an image that are trained on: 2",
    f"left out, 7 in all, every one named in {path / 'left_out.txt'}:",
    f"in {path}; to train on it: --config.data.dataset=mine and a config that learns from objects, "
    "such as those of Mask R-CNN in `hornet configs`",
  ):
    assert line in lines, line
  left_out = dict(line.split("\t") for line in (path / "left_out.txt").read_text().splitlines())
  broken = left_out.pop(f"{mine}/images/train/broken.jpg")
  assert broken.endswith("; with it 1 annotation")
  roots = f"{mine}/images/train or {mine}/images or {mine} or {mine}/annotations"
  assert left_out == {
    f"{train}: image ../../evil.jpg": "a name that leads outside, or no regular file",
    f"{train}: image lost.jpg": f"no such image in {roots}",
    f"{train}: annotation 3, of a b/1.jpg": "a box without area: [2.0, 2.0, 5.0, 0.0] "
    "(x, y, width, height)",
    f"{mine}/annotations/captions_val.json": "annotations of another kind, by its name",
    f"{mine}/images/train/unnamed.jpg": "beside the images that are used",
    f"{mine}/images/val/2.jpg": "an image of height and width [8, 4], and told are [4, 8]: its "
    "EXIF data turn it",
  }

  data_dir = str(tmp_path / "data")
  assert default_splits("mine", data_dir) == ("train", "validation")
  opened = open_split("mine", "train", data_dir, OBJECTS)
  assert opened.class_names == ["cat", "dog"]
  assert json.loads((path / CATEGORIES).read_text()) == {"cat": 3, "dog": 7}
  assert opened.largest_size == (8, 7)
  examples = by_name(opened)
  assert sorted(image_sizes(opened).tolist()) == [[5, 7], [8, 4]]
  assert (path / "seen_train.npy").exists()
  first, second = examples["a b/1.jpg"], examples["2.jpg"]
  assert first["image"] == (mine / "images" / "train" / "a b" / "1.jpg").read_bytes()
  assert (first["image_id"], first["height"], first["width"]) == (11, 5, 7)
  assert [int(number) for number in first["objects"]["id"]] == [1, 2]
  np.testing.assert_array_equal(first["objects"]["bbox"], [[0.5, 1, 3, 2], [2, 2, 5, 3]])
  assert [float(area) for area in first["objects"]["area"]] == [5.5, 6]
  instances = read_instances(first)
  np.testing.assert_array_equal(whole_mask(instances.rles[1], (5, 7))[2:5, 2:7], 1)
  assert len(read_instances(second)) == 0
  assert (second["height"], second["width"]) == decode_pixels(second["image"]).shape[:2] == (8, 4)
  [held_out] = open_split("mine", "validation", data_dir).source
  [expected] = [read_instances(held_out)]
  assert expected.is_crowd.tolist() == [True]
  assert np.argwhere(whole_mask(expected.rles[0], (5, 7))).tolist() == [[2, 1], [3, 1]]

  for target in (LABEL, MASK):
    with pytest.raises(InputError, match=f"expected the features `image` .* and `{target}`"):
      open_split("mine", "train", data_dir, target)
  assert prepare(tmp_path, "instances", f"--path={mine}", "--name=mine") == 2
  assert "`name` must be new" in capfd.readouterr().err


def found_in(folder):
  found = find_instances(folder)
  sources = {
    split: sorted({place[1] for place in source.images.every()} - {source.name})
    for split, source in found.sources.items()
  }
  return check_and_split_instances(found), sources


@pytest.mark.parametrize(
  "layout",
  [
    {
      "train": ("{}/train", "{}/train/_annotations.coco.json"),
      "valid": ("{}/valid", "{}/valid/x.json"),
    },
    {
      "train": ("{}/train2017", "{}/annotations/instances_train2017.json"),
      "val": ("{}/val2017", "{}/annotations/instances_val2017.json"),
    },
    {"train": ("{}/images", "{}/train.json"), "val": ("{}/images", "{}/val.json")},
    {
      "train": ("{}/images/Train", "{}/annotations/a-train.json"),
      "val": ("{}/images/Val", "{}/annotations/a-val.json"),
    },
  ],
)
def test_layouts_with_splits(tmp_path, layout):
  for k, (folder, file) in enumerate(layout.values()):
    write_set(
      tmp_path / folder.format(tmp_path), tmp_path / file.format(tmp_path), first=10 * k + 1
    )
  own, _ = found_in(tmp_path)
  names = {split: [found.file_name for found in of] for split, of in own.splits.items()}
  assert names == {"train": ["1.jpg", "2.jpg"], "validation": ["11.jpg", "12.jpg"]}
  assert own.categories == {"cat": 3, "dog": 7}
  assert own.rule == "by the files of train, validation"
  assert not own.left_out


@pytest.mark.parametrize(
  ("images", "file"),
  [
    (".", "a.json"),
    ("images", "result.json"),
    ("train", "train/_annotations.coco.json"),
    ("images/default", "annotations/instances_default.json"),
  ],
)
def test_one_file_is_split_by_rule(tmp_path, images, file):
  write_set(tmp_path, tmp_path / file, 20)
  for image_file in tmp_path.glob("*.jpg"):
    target = tmp_path / images / image_file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    image_file.rename(target)
  if images == "images/default":
    told = json.loads((tmp_path / file).read_text())
    for entry in told["images"]:
      entry["file_name"] = f"default/{entry['file_name']}"
    (tmp_path / file).write_text(json.dumps(told))
  own, _ = found_in(tmp_path)
  assert {split: len(found) for split, found in own.splits.items()} == {"train": 18, "test": 2}
  assert own.rule.startswith("by rule: the 0.1 of the images")
  again, _ = found_in(tmp_path)
  assert [k.file_name for k in again.splits["test"]] == [k.file_name for k in own.splits["test"]]
  assert not own.left_out


def test_any_two_files_and_a_folder(tmp_path):
  a = write_set(tmp_path / "pictures", tmp_path / "somewhere" / "a.json")
  b = write_set(tmp_path / "pictures", tmp_path / "elsewhere" / "b.json", first=5)
  found = find_in_files(a, tmp_path / "pictures", b)
  own = check_and_split_instances(found)
  assert [k.file_name for k in own.splits["validation"]] == ["5.jpg", "6.jpg"]
  assert not own.left_out
  alone = check_and_split_instances(find_in_files(a, tmp_path / "pictures"), 0.5)
  assert {split: len(images) for split, images in alone.splits.items()} == {"train": 1, "test": 1}
  assert sorted(alone.left_out) == [str(tmp_path / "pictures" / f"{k}.jpg") for k in (5, 6)]
  with pytest.raises(InputError, match=r"told of images: found none .*Hint: --images=FOLDER|Hint"):
    check_and_split_instances(find_in_files(a))


def test_a_category_that_only_holds_others_is_no_class(tmp_path):
  """Roboflow writes one, number 0, that nothing is of."""
  categories = [
    {"id": 0, "name": "pets", "supercategory": "none"},
    {"id": 3, "name": "cat", "supercategory": "pets"},
    {"id": 4, "name": "dog", "supercategory": "pets"},
  ]
  write_set(tmp_path, tmp_path / "a.json", categories=categories)
  own, _ = found_in(tmp_path)
  assert own.categories == {"cat": 3, "dog": 4}
  note, most = own.remarks()
  assert most == "most things on an image that are trained on: 1"
  assert note == "no class, as other categories belong to it and nothing is of it: pets"


def test_names_with_backslashes_are_found_and_others_are_refused(tmp_path):
  write(tmp_path / "in" / "a.jpg", photo())
  write(tmp_path / "b\\c.jpg", photo())
  write(tmp_path.parent / "d.jpg", photo())
  places = ImagePlaces([tmp_path])
  assert places.find("in\\a.jpg") == ("", str(tmp_path / "in" / "a.jpg"))
  assert places.find("b\\c.jpg") == ("", str(tmp_path / "b\\c.jpg"))
  for name in ("../d.jpg", "..\\d.jpg", str(tmp_path / "in" / "a.jpg")):
    with pytest.raises(BrokenEntryError, match="leads outside"):
      places.find(name)
  for name in ("none.jpg", "in", "a" * 5000, "zero\0byte.jpg"):
    with pytest.raises(BrokenEntryError, match="no such image in"):
      places.find(name)


def test_an_image_of_two_splits_and_boxes_by_corners_are_told(tmp_path):
  write(tmp_path / "1.jpg", photo(100, 100))
  entry = image(1, height=100, width=100)
  square = {"bbox": [30, 30, 60, 60], "segmentation": [[30, 30, 60, 30, 60, 60, 30, 60]]}
  beyond = {"bbox": [50, 50, 90, 90], "segmentation": []}
  things = [annotation(1, **square), annotation(2, **beyond)]
  for split in ("train", "val"):
    write(tmp_path / f"{split}.json", coco([entry], things))
  own, _ = found_in(tmp_path)
  remarks = own.remarks()
  assert "images that are in several splits: 1" in remarks
  assert "boxes that are not around their masks: 2" in remarks
  assert "boxes that reach out of their image (a `bbox` is x, y, width, height): 2" in remarks


@pytest.mark.parametrize(
  ("files", "message"),
  [
    ({}, "must hold annotations in COCO's format: expected such as"),
    ({"annotations/captions_train.json": coco()}, "must hold annotations in COCO's format"),
    ({"a.json": coco(), "b.json": coco()}, "one file of annotations a split: .* without the name"),
    ({"train.json": coco(), "a_train.json": coco()}, "are both of the split 'train'"),
    ({"val.json": coco(), "test.json": coco()}, "annotations to train on: expected some of train"),
    ({"a.json": b"{"}, "it is no JSON"),
    ({"a.json": coco()}, "a.json must tell of images: found none .*: there is none"),
    ({"a.json": coco([image(1)], [])}, "found none .*the first as: no such image in"),
    (
      {
        "train.json": coco([image(1)]),
        "val.json": coco([image(1)], categories=[{"id": 3, "name": "cow"}]),
      },
      "must have the same categories: .*val.json|must have the same categories",
    ),
    (
      {
        "train.json": coco([image(1)]),
        "val.json": coco([image(1)], categories=[{"id": 5, "name": "cat"}]),
      },
      "must have the same categories",
    ),
    ({"a.json": coco([image(1)]), "1.jpg": photo(4, 6)}, "found one image .*two are the least"),
  ],
)
def test_folders_that_cannot_be_used_say_why(tmp_path, files, message):
  for name, content in files.items():
    write(tmp_path / name, content)
  with pytest.raises(InputError, match=message) as error:
    check_and_split_instances(find_instances(tmp_path))
  assert "\n" not in str(error.value)


def test_flags_that_do_not_fit_are_refused(tmp_path):
  for arguments in (
    ["--name=x"],
    [f"--path={tmp_path}"],
    ["--name=x", f"--path={tmp_path}", "--annotations=a.json"],
    ["--name=x", f"--path={tmp_path}", f"--images={tmp_path}"],
    ["--name=x", f"--path={tmp_path / 'none'}"],
    ["--name=x", f"--annotations={tmp_path / 'none'}"],
    ["--name=coco", f"--path={tmp_path}"],
    ["--name=x", f"--path={tmp_path}", "--masks=m"],
  ):
    assert prepare(tmp_path, "instances", *arguments) == 2, arguments


def zipped(folder, archive, parts):
  with zipfile.ZipFile(archive, "w") as file:
    for part in parts:
      for path in sorted((folder / part).rglob("*.*")):
        file.write(path, path.relative_to(folder).as_posix())


def test_coco_of_archives_is_that_of_what_they_unpack_to(tmp_path, capfd):
  folder, archives = tmp_path / "unpacked", tmp_path / "archives"
  write_coco_folder(folder, 10, 3)
  archives.mkdir()
  for part in ("train2017", "val2017"):
    zipped(folder, archives / f"{part}.zip", [part])
  zipped(folder, archives / "annotations_trainval2017.zip", ["annotations"])
  assert prepare(tmp_path, "coco", f"--archives={archives}") == 2
  assert "must hold 118,287 images of train: got 10 in" in capfd.readouterr().err
  assert prepare(tmp_path, "coco", f"--archives={archives}", "--partial") == 0
  assert "coco/train: 10 images, 3 classes" in capfd.readouterr().out
  data_dir = str(tmp_path / "data")
  unpacked = check_and_split_instances(find_coco(folder))
  for split, images in unpacked.splits.items():
    stored = by_name(open_split("coco", split, data_dir))
    assert stored.keys() == {found.file_name for found in images}
    for found in images:
      example = stored[found.file_name]
      assert example["image"] == read_place(found.place)
      rles = [thing.stored["rle"].encode() for thing in found.objects]
      assert list(example["objects"]["rle"]) == rles
      pixels = decode_pixels(example["image"])
      assert pixels.shape[:2] == (example["height"], example["width"]) == found.size
  assert not (epath.Path(data_dir) / "coco" / "1.0.0" / "left_out.txt").exists()
  assert size_of("coco", "", data_dir, empty_images=True) == (10, 3)
  assert prepare(tmp_path, "coco", f"--archives={archives}") == 2
  assert "must have the 118,287 images of coco/train: it has 10" in capfd.readouterr().err
  (archives / "val2017.zip").unlink()
  with pytest.raises(InputError, match=r"a folder that holds val2017.zip, or the folder val2017"):
    find_coco(archives)
  for name in ("train2017.zip", "val2017.zip"):
    write(tmp_path / "damaged" / name, b"PK")
  with pytest.raises(InputError, match=r"train2017.zip must be a whole zip archive"):
    find_coco(tmp_path / "damaged")


def test_shapes_thing_by_thing_are_the_scenes_of_shapes(tmp_path):
  assert prepare(tmp_path, "shapes_coco") == 0
  opened = open_split("shapes_coco", "test", str(tmp_path / "data"))
  assert opened.class_names == ["circle", "box", "triangle"]
  assert len(opened.source) == 100
  path = epath.Path(tmp_path / "data" / "shapes_coco" / "1.0.0")
  numbers = json.loads((path / CATEGORIES).read_text())
  assert numbers == {"circle": 1, "box": 3, "triangle": 4}
  for example in by_name(opened).values():
    scene = make_scene(1, int(example["file_name"].decode().partition(".")[0]))
    np.testing.assert_array_equal(decode_pixels(example["image"])[..., :3], scene.image)
    instances = read_instances(example)
    assert [label + 1 for label in instances.labels] == [kind for kind, _ in scene.shapes]
    for rle, (_, seen) in zip(instances.rles, scene.shapes, strict=True):
      np.testing.assert_array_equal(whole_mask(rle, instances.size), seen)
    rows, columns = np.nonzero(scene.shapes[-1][1])
    around = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert instances.boxes[-1].tolist() == around
