"""Detection as a task: canvases of several sizes, what devices are given, and what comes back."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from small_tasks import TASKS

from hornet_jax.cli import config as config_flag
from hornet_jax.cli.main import main
from hornet_jax.cost.model_work import forward_work, training_work
from hornet_jax.data.category_ids import CATEGORIES as CATEGORIES_FILE
from hornet_jax.data.category_ids import read_category_ids
from hornet_jax.data.datasets import OBJECTS, Split, open_split
from hornet_jax.data.part import take_part
from hornet_jax.data.preparing.coco.generated_coco import CATEGORIES
from hornet_jax.data.seen_on_images import check_room, image_sizes, object_counts
from hornet_jax.data.training_split import open_training_split, training_size
from hornet_jax.data.views.instances import read_instances
from hornet_jax.errors import InputError
from hornet_jax.parallel.mesh import batch_sharding, to_devices
from hornet_jax.pretrained.spec import spec_of_config
from hornet_jax.pretrained.weights_file import read_weights_file, write_model
from hornet_jax.runs.workdir import check_dataset, load_class_numbers, save_description
from hornet_jax.tasks import Detection
from hornet_jax.tasks.average_precision import AveragePrecision
from hornet_jax.tasks.build import build_task
from hornet_jax.train.head_context import head_context
from hornet_jax.train.set_up import set_up

SMALL = TASKS["detection"]
CANVASES = ("64x96", "96x64")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """COCO's layout with images of many sizes, 64 to train on and 16 to evaluate on."""
  data_dir = tmp_path_factory.mktemp("coco")
  assert main(["prepare", "coco", "--generated", f"--data_dir={data_dir}"]) == 0
  return data_dir


@pytest.fixture(scope="module")
def config(folder):
  settings = SMALL.overrides(
    str(folder),
    data__dataset="coco",
    data__train_split="train",
    data__eval_split="validation",
    data__batch_size=4,
    data__eval_batch_size=4,
    detection__canvases=CANVASES,
    detection__long_side=96,
    detection__max_objects=32,
  )
  return config_flag.load(SMALL.config, settings)


@pytest.fixture(scope="module")
def task(config):
  return Detection.from_config(config, 3)


def test_empty_images_are_left_out_of_training(config, folder, caplog):
  """What is known of a part of the split is that of the whole, whose files alone keep it."""
  data = config["data"]
  with caplog.at_level("INFO"):
    split = open_training_split(data, OBJECTS)
  every = open_training_split({**data, "empty_images": True}, OBJECTS)
  assert "coco/train: 1 of 64 images have nothing on them" in caplog.text
  counts = [len(example["objects"]["label"]) for example in every.source]
  np.testing.assert_array_equal(object_counts(every), counts)
  showing = np.flatnonzero(counts)
  assert len(showing) == 63 == training_size(data)[0]
  names = [every.source[k]["file_name"] for k in showing]
  assert [example["file_name"] for example in split.source] == names
  np.testing.assert_array_equal(image_sizes(split), image_sizes(every)[showing])
  kept = [path.name for path in epath.Path(every.files[0]).parent.glob("*.npy")]
  assert sorted(kept) == ["seen_train.npy", "seen_validation.npy"]
  inputs = set_up(config, jax.devices()[:1])[1]
  assert len(inputs.splits.train.source) == 63
  assert len(inputs.splits.eval.source) == 16  # all that there are


def test_a_dataset_of_empty_images(config, folder, monkeypatch):
  monkeypatch.setattr("hornet_jax.data.training_split.object_counts", lambda _: np.zeros(64, int))
  with pytest.raises(InputError, match=r"coco/train must have .* things on them: all of its 64 "):
    open_training_split(config["data"], OBJECTS)


def test_objects_have_room_before_anything_is_computed(config, folder):
  settings = {**config, "detection": {**config["detection"], "max_objects": 2}}
  with pytest.raises(InputError, match=r"expected at least \d+ for coco/train, as example \d+ has"):
    set_up(settings, jax.devices()[:1])
  split = open_split("coco", "train", str(folder), OBJECTS)
  counts = [len(read_instances(example).for_training()) for example in split.source]
  check_room(split, max(counts))
  with pytest.raises(InputError, match=rf"at least {max(counts)} .* example {np.argmax(counts)} "):
    check_room(split, max(counts) - 1)
  with pytest.raises(InputError, match="must have things to learn from: its 1 images have none"):
    check_room(take_part(split, np.flatnonzero(np.array(counts) == 0)[:1]), 9)


def test_numbers_of_the_classes_are_those_of_the_annotations(config, folder, tmp_path):
  """A run, and a file of its weights, know them."""
  split = open_split("coco", "train", str(folder), OBJECTS)
  assert dict(zip(split.class_names, split.class_numbers, strict=True)) == CATEGORIES
  workdir = epath.Path(tmp_path)
  save_description(config, split, workdir)
  assert load_class_numbers(workdir) == list(split.class_numbers)
  check_dataset(split, workdir)
  with pytest.raises(InputError, match="expected class_numbers"):
    check_dataset(dataclasses.replace(split, class_numbers=(1, 2, 3)), workdir)
  spec = spec_of_config(config, split.class_names, split.class_numbers)
  write_model(workdir / "a.safetensors", spec, {"head": {"bias": np.zeros(3)}}, {})
  assert read_weights_file(workdir / "a.safetensors").spec.class_numbers == [*CATEGORIES.values()]
  (workdir / CATEGORIES_FILE).write_text('{"circle": 1}')
  with pytest.raises(InputError, match="must tell the number of each class"):
    read_category_ids(workdir, split.class_names)


def test_what_a_step_costs_is_what_it_learns_from(config):
  """Samples cost in training alone."""

  def works(**changed):
    settings = {**config, "detection": {**config["detection"], **changed}}
    task, model = build_task(settings, 3)
    told, size = head_context(task), task.schema["image"].shape[:2]
    return training_work(model, size, 3, told).macs, forward_work(model, size).macs

  (train, find), (more_train, same_find) = works(), works(samples=32)
  assert more_train > 1.1 * train
  assert same_find == find


@pytest.mark.slow
def test_every_batch_has_one_canvas_and_each_is_compiled_once(config):
  """Twenty steps over images of both canvases run two programs, and are finite."""
  trainer, inputs = set_up(config, jax.devices()[:1])
  step = trainer.compile_train_step()
  assert len(step.programs) == 2
  state, seen = trainer.create_state(), set()
  sharding = batch_sharding(trainer.mesh)
  for batch in itertools.islice(inputs.train_batches(0), 20):
    seen.add(batch["image"].shape)
    state, metrics = step(state, to_devices(batch, 4, sharding))
    assert np.isfinite(metrics["loss"])
  assert seen == {(4, 64, 96, 3), (4, 96, 64, 3)} == set(step.programs)
  assert int(state.step) == 20
  assert int(state.skipped) == 0


def test_kinds_are_the_canvases_of_the_images(task, folder):
  split = open_split("coco", "train", str(folder), task.target)
  kinds, sizes = task.kinds(split), image_sizes(split)
  for kind, (height, width), example in zip(kinds, sizes, split.source, strict=True):
    pixels = task.decode(example["image"])
    assert pixels.shape[:2] == (height, width)
    loaded = task.load(example, None)
    assert loaded["image"].shape == task.eval_schemas[kind]["image"].shape
    assert loaded["own"].tolist() == [height, width]
    if height != width:
      assert (height > width) == (loaded["image"].shape[0] > loaded["image"].shape[1])
  assert set(kinds.tolist()) == {0, 1}


def test_one_canvas_needs_no_sizes(config):
  settings = {**config, "detection": {**config["detection"], "canvases": ("96x96",)}}
  assert Detection.from_config(settings, 3).kinds(Split("none", [], [])) is None


def test_objects_lie_on_the_canvas(task, folder):
  split = open_split("coco", "train", str(folder), task.target)
  rng = np.random.default_rng(0)
  for example in split.source:
    loaded = task.load(example, rng)
    real = loaded["labels"] >= 0
    height, width = loaded["size"]
    boxes = loaded["boxes"][real]
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert (boxes >= 0).all()
    assert (boxes <= np.array([width, height, width, height])).all()
    assert real.sum() <= len(read_instances(example).for_training())
    assert not loaded["masks"][~real].any()
    assert loaded["masks"][real].any(axis=(1, 2)).all()


def test_boxes_come_back_in_pixels_of_the_image(task):
  """What is found on a canvas is scaled by the image's own size; masks stay within their boxes."""
  found = {
    "boxes": jnp.array([[[8.0, 16.0, 24.0, 32.0]]]),
    "scores": jnp.array([[0.5]]),
    "labels": jnp.array([[1]]),
    "masks": jnp.ones((1, 1, 28, 28)),
  }
  told = {}

  def forward(images, context):
    told.update(context)
    return found, {}

  inputs = {
    "image": jnp.zeros((1, 64, 96, 3)),
    "size": jnp.array([[32, 96]]),
    "own": jnp.array([[64, 288]]),
  }
  results = task.predict(forward, inputs)
  assert told.keys() == {"size"}
  np.testing.assert_allclose(results["boxes"], [[[24, 32, 72, 64]]])
  np.testing.assert_array_equal(results["own"], [[64, 288]])
  # A row that pads a batch has no size, and gives numbers all the same.
  nothing = {**inputs, "size": jnp.zeros((1, 2), jnp.int32), "own": jnp.zeros((1, 2), jnp.int32)}
  assert np.isfinite(task.predict(forward, nothing)["boxes"]).all()


def test_a_detector_that_tells_the_truth_has_a_precision_of_one(task, folder):
  """From loaded boxes, through pixels of the image, to COCO's numbers: nothing is shifted."""
  split = open_split("coco", "validation", str(folder), task.target)
  metric = task.metric(split)
  assert isinstance(metric, AveragePrecision)
  for index, example in enumerate(split.source):
    truth = read_instances(example).for_training()
    loaded = task.load(example, None)
    factors = np.tile((loaded["size"] / loaded["own"])[::-1], 2)
    slots = 32 - len(truth)
    found = {
      "boxes": np.pad(truth.boxes * factors, ((0, slots), (0, 0))).astype(np.float32)[None],
      "scores": np.pad(np.linspace(0.9, 0.8, len(truth)), (0, slots)).astype(np.float32)[None],
      "labels": np.pad(truth.labels, (0, slots), constant_values=-1)[None],
      "masks": np.ones((1, 32, 28, 28), np.float32),
    }
    inputs = {name: jnp.asarray(loaded[name][None]) for name in ("image", "size", "own")}
    found = jax.tree.map(jnp.asarray, found)
    results = task.predict(lambda *_, found=found: (found, {}), inputs)
    metric.update(
      {"index": np.array([index])} | {name: np.asarray(values) for name, values in results.items()}
    )
  numbers = metric.compute()
  assert numbers["box_ap"] > 0.999
  assert 0 < numbers["mask_ap"] < numbers["box_ap"]  # a full box is no circle


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"canvases": ("64",)}, r"`detection.canvases` .* expected such as 800x1344, got '64'"),
    ({"canvases": ("60x64",)}, r"multiples of 32"),
    ({"canvases": ()}, r"multiples of 32"),
  ],
)
def test_bad_canvases_are_refused(config, settings, message):
  changed = {**config, "detection": {**config["detection"], **settings}}
  with pytest.raises(InputError, match=message):
    Detection.from_config(changed, 3)
