"""Files of annotations in COCO's format, and those that are broken."""

import json

import pytest
from coco_files import CATEGORIES, annotation, coco, image

from hornet_jax.data.preparing.coco.coco_file import read_coco
from hornet_jax.errors import InputError


def test_reads_images_annotations_and_categories_in_the_order_of_their_numbers():
  annotations = [annotation(5, 2), annotation(3, 1), annotation(9, 2)]
  file = read_coco(coco([image(2, "a b/2.jpg"), image(1)], annotations), "x.json")
  assert list(file.categories.items()) == [(3, "cat"), (7, "dog")]
  assert file.supercategories == {"animal"}
  assert [(k.id, k.file_name, k.told_size) for k in file.images] == [
    (2, "a b/2.jpg", (4, 6)),
    (1, "1.jpg", (4, 6)),
  ]
  assert [[k["id"] for k in found.annotations] for found in file.images] == [[5, 9], [3]]
  assert not file.left_out
  assert not file.notes


def test_a_mark_of_the_byte_order_and_utf_16_are_read():
  text = coco([image(1, "Straße.jpg")]).decode()
  for content in (text.encode("utf-8-sig"), text.encode("utf-16")):
    assert read_coco(content, "x.json").images[0].file_name == "Straße.jpg"


def without(part):
  return json.dumps({k: v for k, v in json.loads(coco()).items() if k != part}).encode()


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (b"", "it is no JSON"),
    (b"\xff\xd8\xff\xe0", "it is no JSON"),
    (coco()[:-1], "it is no JSON"),
    (b"[" * 100_000, "it is no JSON"),
    (b'{"images": ' + b"9" * 5000 + b"}", "it is no JSON"),
    (b"[]", "got a list. Hint: results of a detector"),
    (b"3", "expected an object, got 3"),
    (b"null", "expected an object, got None"),
    (b"{}", "got none; wrong or missing: images, annotations, categories"),
    (without("annotations"), "wrong or missing: annotations. Hint: files such as image_info_test"),
    (without("categories"), "wrong or missing: categories. Hint: files of captions"),
    (coco().replace(b'"images": []', b'"images": null'), "wrong or missing: images"),
    (coco(annotations=[{"segments_info": []}]), "panoptic segmentation. Hint: instances_"),
    (coco(categories=[]), "it has none"),
    (coco(categories=["cat"]), "a whole number `id` and a `name`: got 'cat'"),
    (coco(categories=[{"id": "1", "name": "cat"}]), "a whole number `id` and a `name`"),
    (coco(categories=[{"id": 1, "name": "  "}]), "a whole number `id` and a `name`"),
    (coco(categories=[{"id": 1, "name": "\ud800"}]), "a whole number `id` and a `name`"),
    (coco(categories=[{"id": True, "name": "cat"}]), "a whole number `id` and a `name`"),
    (coco(categories=[*CATEGORIES, {"id": 7, "name": "x"}]), "has one of another"),
    (coco(categories=[*CATEGORIES, {"id": 8, "name": " cat"}]), "has one of another"),
  ],
)
def test_what_is_no_such_file_is_refused_in_one_line(content, message):
  with pytest.raises(InputError) as error:
    read_coco(content, "x.json")
  assert message in str(error.value)
  assert "x.json" in str(error.value)
  assert "\n" not in str(error.value)
  assert len(str(error.value)) < 400


@pytest.mark.parametrize(
  ("images", "left_out"),
  [
    ([None], {"images[0]": "an image without a whole number `id`: None"}),
    ([image("1")], {"images[0]": "an image without a whole number `id`: {'file_name'"}),
    ([image(2**63)], {"images[0]": "an image without a whole number `id`"}),
    ([image(1.5)], {"images[0]": "an image without a whole number `id`"}),
    ([image(1, file_name=None)], {"images[0]": "an image without a `file_name`"}),
    (
      [image(1, "\ud800.jpg")],
      {"images[0]": "an image without a `file_name`: {'file_name': '\\ud8"},
    ),
    ([image(1, file_name=" ")], {"images[0]": "an image without a `file_name`"}),
    (
      [image(1, "a.jpg"), image(1, "b.jpg")],
      {
        "images[0], a.jpg": "an image whose id 1 is that of 2 images",
        "images[1], b.jpg": "an image whose id 1 is that of 2 images",
      },
    ),
    (
      [image(1, "a.jpg"), image(2, "./a.jpg")],
      {
        "images[0], a.jpg": "an image that is there 2 times",
        "images[1], ./a.jpg": "an image that is there 2 times",
      },
    ),
  ],
)
def test_images_that_cannot_be_used_are_named(images, left_out):
  file = read_coco(coco([*images, image(77, "good.jpg")]), "x.json")
  assert [found.id for found in file.images] == [77]
  assert {key.removeprefix("x.json: ") for key in file.left_out} == left_out.keys()
  for key, reason in left_out.items():
    assert file.left_out[f"x.json: {key}"].startswith(reason)


def test_annotations_of_no_image_are_named():
  annotations = [annotation(1, 5), annotation(2, None), annotation(3, [1]), annotation(4, 1.0)]
  file = read_coco(coco([image(1)], annotations), "x.json")
  assert [found["id"] for found in file.images[0].annotations] == [4]
  assert file.left_out == {
    "x.json: annotation 1": "of no image that can be used: image_id 5",
    "x.json: annotation 2": "of no image that can be used: image_id None",
    "x.json: annotation 3": "of no image that can be used: image_id [1]",
  }


@pytest.mark.parametrize("ids", [(4, 4), (0, 1), (-1, 1), (None, 1), ("1", "2"), (2**70, 1)])
def test_numbers_that_cannot_stay_are_given_anew(ids):
  """Evaluation takes 0 for nothing found, and loses one of two that are alike."""
  annotations = [annotation(number, bbox=[k, 0, 1, 1]) for k, number in enumerate(ids)]
  file = read_coco(coco([image()], [*annotations, 3]), "x.json")
  assert [(k["id"], k["bbox"][0]) for k in file.images[0].annotations] == [(1, 0), (2, 1)]
  assert file.notes == [
    "annotations of x.json are numbered anew, from 1: their own numbers are missing, repeated or "
    "below 1"
  ]
  assert file.left_out == {"x.json: annotations[2]": "no annotation: 3"}


def test_copies_are_named_and_numbers_stay():
  file = read_coco(coco([image()], [annotation(9), annotation(9), annotation(4)]), "x.json")
  assert [k["id"] for k in file.images[0].annotations] == [9, 4]
  assert file.left_out == {"x.json: annotations[1]": "a copy of annotation 9"}
  assert not file.notes
