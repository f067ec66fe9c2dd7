"""Segmentation goes through the loop like classification; what it measures is what it says."""

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from PIL import Image

from hornet_jax import create_model
from hornet_jax.checkpoints.newest_valid import load_variables
from hornet_jax.cli import config as config_flag
from hornet_jax.cli.main import main
from hornet_jax.data.datasets import LABEL, MASK, Split, open_split
from hornet_jax.data.pixels.decode import UndecodableImageError
from hornet_jax.data.preparing.prepare import prepare
from hornet_jax.data.preparing.shapes import CLASS_NAMES, SIDE, make_scene
from hornet_jax.data.views.masks import decode_mask, encode_png
from hornet_jax.data.views.paired_view import PairedAugmentation
from hornet_jax.data.views.windows import Windows, scalings
from hornet_jax.errors import InputError
from hornet_jax.models.stacking import unstack_blocks
from hornet_jax.parallel.mesh import make_mesh
from hornet_jax.pretrained.task_model import load_task_model
from hornet_jax.report.batches import ShownBatch, render_batches
from hornet_jax.report.template import render_template
from hornet_jax.tasks import Classification, Segmentation, get_task
from hornet_jax.tasks.mean_iou import count_confusion
from hornet_jax.tasks.shown_masks import palette
from hornet_jax.train.initial_state import InitialState
from hornet_jax.train.run import train
from hornet_jax.train.trainer import Trainer

SETTINGS = {
  "model.scan": False,
  "data.image_size": 32,
  "data.batch_size": 8,
  "data.eval_batch_size": 8,
  "data.num_processes": 0,
  "data.train_split": "train[:16]",
  "data.eval_split": "test[:11]",
  "segmentation.channels": 8,
  "segmentation.auxiliary_channels": 4,
  "segmentation.long_side": 32,
  "segmentation.short_side": 32,
  "epochs": 2,
  "optimizer.warmup_epochs": 0.5,
  "log.every_steps": 1,
  "eval.every_epochs": 1,
  "checkpoint.keep": 5,
}
NETWORK = {"channels": 8, "auxiliary_channels": 4}
TASK = Segmentation(
  4,
  PairedAugmentation(32, 32, 32),
  Windows(32, 21, scalings((32, 32)), (124, 116, 104)),
  network=NETWORK,
  largest_size=(128, 256),
)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
  """A folder with the shapes prepared."""
  path = str(tmp_path_factory.mktemp("shapes"))
  prepare("shapes", path)
  return path


@pytest.fixture(scope="module")
def config(shapes):
  settings = {**SETTINGS, "data.data_dir": shapes}
  overrides = [f"--config.{key}={value}" for key, value in settings.items()]
  return config_flag.load("configs/shapes_segmentation.py:variant=nano_7x7", overrides)


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
  """The workdir of a run of four steps on one device, and what it gave."""
  workdir = epath.Path(tmp_path_factory.mktemp("segmentation"))
  return workdir, train(config, workdir, jax.devices()[:1])


def test_scenes_are_what_their_masks_say():
  scene = make_scene(0, 2)
  again = make_scene(0, 2)
  np.testing.assert_array_equal(scene.image, again.image)
  assert (make_scene(0, 3).image != scene.image).any()
  seen = np.zeros((SIDE, SIDE), np.uint8)
  for kind, inside in scene.shapes:
    assert not seen[inside].any()  # what lies behind another shape is not its own
    seen[inside] = kind
  np.testing.assert_array_equal(seen, scene.mask)
  found = {kind for number in range(40) for kind, _ in make_scene(0, number).shapes}
  assert found == {1, 2, 3}
  areas = {1: np.pi, 2: 2.0, 3: 3**1.5 / 4}  # of circle, box and triangle of radius 1
  for number in range(30):
    for kind, inside in make_scene(1, number).shapes[-1:]:  # nothing lies before the last one
      y, x = np.nonzero(inside)
      radius = np.hypot(y - y.mean(), x - x.mean()).max()
      assert inside.sum() == pytest.approx(areas[kind] * radius**2, rel=0.2)


def test_the_dataset_has_masks(shapes):
  split = open_split("shapes", "test", shapes, MASK)
  assert split.class_names == list(CLASS_NAMES)
  scene = make_scene(1, 3)
  numbers = {encode_png(make_scene(1, n).image): n for n in range(100)}
  example = split.source[5]
  number = numbers[example["image"]]
  np.testing.assert_array_equal(decode_mask(example["mask"]), make_scene(1, number).mask)
  assert scene.mask.max() <= 3
  assert split.largest_size == (128, 128)
  with pytest.raises(InputError, match=r"must be of image classification: .* `label`"):
    open_split("shapes", "test", shapes, LABEL)


def test_it_needs_masks(config, data_dir):
  digits = {**config, "data": {**config["data"], "dataset": "digits", "data_dir": data_dir}}
  with pytest.raises(InputError, match=r"must be of segmentation: .* `mask` \(LabeledImage\)"):
    train(digits, epath.Path("unused"), jax.devices()[:1])


@pytest.mark.parametrize(
  "changed",
  [
    {"data": {"unique_images": 8}},
    {"data": {"class_balance": 0.5}},
    {"loss": {"class_weighting": "inverse"}},
  ],
)
def test_what_counts_labels_is_refused(config, changed, tmp_path):
  settings = {**config, **{name: {**config[name], **values} for name, values in changed.items()}}
  with pytest.raises(InputError, match=r"need one label an image: shapes/train\S* has none"):
    train(settings, epath.Path(tmp_path / "run"), jax.devices()[:1])


def test_loading_keeps_both_together():
  scene = make_scene(0, 4)
  wide = np.repeat(scene.image, 2, axis=1), np.repeat(scene.mask, 2, axis=1)
  example = {"image": encode_png(wide[0]), "mask": encode_png(wide[1])}
  loaded = TASK.load(example, None)
  assert loaded["image"].shape == (1, 32, 32, 3)
  assert (loaded["image"][0, 16:] == (124, 116, 104)).all()  # twice as wide as high
  np.testing.assert_array_equal(loaded["mask"], wide[1])  # measured at its own size
  assert loaded["size"].tolist() == [128, 256]
  with pytest.raises(
    UndecodableImageError, match=r"mask has height and width \[128, 128\], and its image \[128, 256"
  ):
    TASK.load({**example, "mask": encode_png(scene.mask)}, None)
  foreign = np.where(wide[1] == wide[1].max(), 7, wide[1]).astype(np.uint8)
  with pytest.raises(
    UndecodableImageError, match="has the value 7: expected classes 0 to 3, or 255"
  ):
    TASK.load({**example, "mask": encode_png(foreign)}, None)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (b"no image", "the mask: cannot identify"),
    (encode_png(np.zeros((4, 4, 3), np.uint8)), r"one byte a pixel: got uint8 \[4, 4, 3\]"),
  ],
)
def test_masks_that_are_none(content, message):
  with pytest.raises(UndecodableImageError, match=message):
    decode_mask(content)


def test_confusion_is_counted():
  rng = np.random.default_rng(0)
  true = rng.choice([0, 1, 2, 3, 255], (3, 9, 7)).astype(np.uint8)
  predicted = rng.integers(0, 4, (3, 9, 7))
  found = np.asarray(count_confusion(jnp.asarray(predicted), jnp.asarray(true), 4))
  for image in range(3):
    expected = np.zeros((4, 4), int)
    for t, p in zip(true[image].ravel(), predicted[image].ravel(), strict=True):
      if t != 255:
        expected[t, p] += 1
    np.testing.assert_array_equal(found[image], expected)


def test_the_loss_is_the_mean_over_all_pixels():
  """Of both heads, enlarged to the image; an ignored pixel has none, and counts."""
  rng = np.random.default_rng(1)
  logits = {
    "logits": jnp.asarray(rng.normal(size=(2, 32, 32, 4)), jnp.float32),
    "auxiliary": jnp.asarray(rng.normal(size=(2, 32, 32, 4)), jnp.float32),
  }
  mask = rng.choice([0, 1, 2, 3, 255], (2, 32, 32)).astype(np.uint8)
  found = TASK.loss((logits, {}), {"mask": jnp.asarray(mask)})
  expected = np.zeros(2)
  for name, weight in (("logits", 1.0), ("auxiliary", 0.4)):
    values = np.asarray(logits[name], np.float64)
    log_probabilities = values - np.log(np.exp(values).sum(-1, keepdims=True))
    for i in range(2):
      counted = mask[i] != 255
      picked = log_probabilities[i][counted, mask[i][counted]]
      expected[i] -= weight * picked.sum() / mask[i].size
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  perfect = dict.fromkeys(logits, 50.0 * jax.nn.one_hot(mask, 4))
  assert (np.asarray(TASK.loss((perfect, {}), {"mask": jnp.asarray(mask)})) < 1e-5).all()


def test_it_trains_and_is_evaluated(run):
  workdir, outcome = run
  assert outcome.complete
  assert outcome.metric.count == 11  # padding does not count
  assert outcome.metric.confusion.sum() == 11 * SIDE * SIDE
  assert {"eval/miou", "eval_ema/pixel_accuracy", "eval_ema/loss"} <= outcome.metrics.keys()
  losses = [record["train/loss"] for record in outcome.records if "train/loss" in record]
  assert len(losses) == 4
  assert np.isfinite(losses).all()
  _, raw, _ = load_variables(workdir / "checkpoints", "last", "eval_ema/miou")
  statistics = raw["batch_stats"]["head"]
  assert np.abs(statistics["decode"]["fusion"]["bn"]["mean"]).max() > 0
  assert np.abs(statistics["auxiliary"]["conv_0"]["bn"]["mean"]).max() > 0


def test_the_commands(run, tmp_path, capfd, monkeypatch):
  """Pictures of their own sizes, and tests in another way than the run's."""
  workdir, outcome = run
  assert main(["evaluate", f"--workdir={workdir}", "--checkpoint=last", "--json"]) == 0
  result = json.loads(capfd.readouterr().out)
  assert result["ema"]["miou"] == pytest.approx(outcome.metrics["eval_ema/miou"], abs=1e-5)
  scene = make_scene(1, 0).image
  for name, pixels in (
    ("a/scene.png", scene[:96, :50]),
    ("b/scene.png", scene),
    ("b/scene.bmp", scene),
  ):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(tmp_path / name)
  out = tmp_path / "out"
  argv = ["predict", str(tmp_path), f"--workdir={workdir}", "--json", f"--out={out}"]
  assert main(argv) == 0
  printed = capfd.readouterr()
  assert f"hornet: classes, mask, overlay of each are in {out}\n" in printed.err
  records = json.loads(printed.out)
  assert len(records) == 3
  for record in records:
    assert sum(entry["share"] for entry in record["top"]) <= 1 + 1e-6
    assert {entry["class"] for entry in record["top"]} <= set(CLASS_NAMES)
  drawn = sorted(str(file.relative_to(out)) for file in out.rglob("*.png"))
  assert drawn == sorted(
    f"{name}_{what}.png"
    for name in ("a/scene", "b/scene.png", "b/scene.bmp")
    for what in ("classes", "mask", "overlay")
  )
  classes = np.asarray(Image.open(out / "a" / "scene_classes.png"))
  mask = np.asarray(Image.open(out / "a" / "scene_mask.png"))
  assert classes.shape == (96, 50)
  np.testing.assert_array_equal(mask, palette(4)[classes])
  shares = {entry["class"]: entry["share"] for entry in records[0]["top"]}
  for k, name in enumerate(CLASS_NAMES):
    assert shares.get(name, 0) == pytest.approx((classes == k).mean() if name in shares else 0)
  argv = [*argv[:3], f"--out={tmp_path / 'flipped'}", "--config.segmentation.eval_flip=True"]
  loaded = []  # after four steps all may be background, flipped or not: the settings are looked at

  def load(*arguments):
    loaded.append(load_task_model(*arguments))
    return loaded[-1]

  monkeypatch.setattr("hornet_jax.cli.predict.load_task_model", load)
  assert main(argv) == 0
  assert [scaling.flip for scaling in loaded[0].task.windows.scalings] == [False, True]
  assert main(argv) == 2  # the pictures are among the images now
  assert "replace no file that lies beside images" in capfd.readouterr().err


def test_what_the_commands_refuse(run, tmp_path, capfd):
  workdir, _ = run
  for command in (["evaluate"], ["predict", str(tmp_path / "x.png")]):
    argv = [*command, f"--workdir={workdir}"]
    assert main([*argv, "--config.segmentation.channels=4"]) == 2
    message = "`segmentation.channels` is part of what was trained: expected a key that says how"
    assert message in capfd.readouterr().err
    assert main([*argv, "--config.segmentation.eval_ratios=(1.0, -2.0)"]) == 2
    assert "`segmentation.eval_ratios` must be numbers > 0: got" in capfd.readouterr().err


def test_a_dataset_must_say_how_large_its_images_are():
  split = Split("mine/test", [], list(CLASS_NAMES))
  with pytest.raises(InputError, match="mine/test must say how large its images are at most"):
    TASK.for_evaluation([split])
  sized = [dataclasses.replace(split, largest_size=size) for size in ((100, 40), (33, 70))]
  fitted = TASK.for_evaluation(sized)
  assert fitted.largest_size == (100, 70)
  assert fitted.eval_schema["mask"].shape == (128, 128)  # whole tiles
  example = {"image": encode_png(make_scene(0, 0).image), "mask": encode_png(make_scene(0, 0).mask)}
  with pytest.raises(InputError, match=r"as large as their dataset says, at most \[100, 70\]: got"):
    fitted.load(example, None)


def test_its_file_is_the_run(run, tmp_path, capfd):
  """Its predictions are the same bit for bit."""
  workdir, _ = run
  file, image = tmp_path / "shapes.safetensors", tmp_path / "scene.png"
  assert main(["export", f"--workdir={workdir}", f"--out={file}"]) == 0
  image.write_bytes(encode_png(make_scene(1, 0).image))
  said = []
  for path in (workdir, file):
    capfd.readouterr()
    assert main(["predict", str(image), f"--workdir={path}", "--json"]) == 0
    said.append(capfd.readouterr().out)
  assert said[0] == said[1]
  first, second = load_task_model(str(workdir)), load_task_model(str(file))
  assert first.model == second.model
  assert first.class_names == second.class_names
  assert first.task == second.task
  jax.tree.map(np.testing.assert_array_equal, first.variables, second.variables)


def test_another_run_starts_from_it(run, config):
  """With other classes: columns go by name, all else is kept, statistics too."""
  workdir, _ = run
  names = ["box", "disc", "background"]
  settings = {
    **config,
    "init": {**config["init"], "checkpoint": str(workdir)},
    "model": {**config["model"], "scan": True},
  }
  trainer = Trainer(settings, make_mesh(jax.devices()[:1], 1), num_classes=3, num_examples=16)
  initial = InitialState(trainer, names)
  initial.check()
  state, notes = initial.create()
  assert notes == [
    f"starting from {workdir}",
    "head: 1 classes are not there and start anew: disc",
    "head: 2 of 4 classes, by name",
  ]
  given = load_task_model(str(workdir)).variables
  taken = unstack_blocks(jax.device_get(state.variables()))
  jax.tree.map(np.testing.assert_array_equal, taken["batch_stats"], given["batch_stats"])
  jax.tree.map(
    np.testing.assert_array_equal, taken["params"]["backbone"], given["params"]["backbone"]
  )
  for head in ("decode", "auxiliary"):
    old, new = (v["params"]["head"][head]["classify"]["conv_seg"]["bias"] for v in (given, taken))
    np.testing.assert_array_equal(new[[0, 2]], old[[CLASS_NAMES.index("box"), 0]])


def test_what_it_shows(run):
  _, outcome = run
  task = dataclasses.replace(TASK, num_classes=4)
  section, pictures = task.sections(outcome.metric, outcome.splits.eval)
  assert [row[0] for row in section.values["rows"]] == list(CLASS_NAMES)  # all occur in 11 scenes
  page = render_template(pictures.template, it=pictures.values)
  assert page.count("data:image/png") == 3 * 8  # of the best and the worst four
  ranked = [preview.iou for preview in (*outcome.metric.best(), *outcome.metric.worst()[::-1])]
  assert ranked == sorted(ranked, reverse=True)
  _, ious = outcome.metric.by_image()
  assert ranked[0] == pytest.approx(ious.max())
  assert ranked[-1] == pytest.approx(ious.min())
  by_image = task.tables(outcome.metric, list(CLASS_NAMES))["by_image"]
  assert [row["index"] for row in by_image] == list(range(11))
  assert max(row["miou"] for row in by_image) == pytest.approx(ranked[0])
  tables = task.tables(outcome.metric, list(CLASS_NAMES))
  assert [row["true"] for row in tables["confusion"]] == list(CLASS_NAMES)
  masks = np.zeros((2, 32, 32), np.uint8)
  masks[1, :16] = 2
  masks[1, 31] = 255
  captions = task.captions({"mask": masks}, list(CLASS_NAMES))
  assert captions.rows == [[("background", "1.00")], [("background", "0.47"), ("box", "0.50")]]
  assert [captions.targets[1][row, 0].tolist() for row in (0, 30, 31)] == [
    [0, 128, 0],
    [0, 0, 0],
    [255, 255, 255],
  ]
  assert captions.colours[CLASS_NAMES[2]] == "rgb(0, 128, 0)"
  shown = ShownBatch(0, np.zeros((2, 32, 32, 3), np.uint8), captions, np.ones(2))
  page = render_batches("title", captions.summary, "command", [shown])
  assert page.count("data:image/png") == 4  # two images, and the mask of each
  assert page.count("background:rgb(0, 128, 0)") == 1


def test_it_is_planned(config):
  trainer = Trainer(config, make_mesh(jax.devices()[:1], 1), num_classes=4, num_examples=16)
  batch = trainer.abstract_batch()
  assert batch["mask"].shape == (8, 32, 32)
  assert batch["mask"].dtype == np.uint8


def test_other_backbones_fit():
  """Any of four levels, with one gnConv or another for the fusion; others are refused by name."""
  for variant, fusion in (
    ("convnext_micro", "7x7"),
    ("swin_micro", "gf"),
    ("hornet_nano_gf", "conv"),
  ):
    backbone = create_model(variant, num_classes=0, patch_size=2)
    model = dataclasses.replace(TASK, network=NETWORK | {"fusion": fusion}).build(backbone)
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    assert {"norms", "decode", "auxiliary"} == set(variables["params"]["head"])
    out = jax.eval_shape(model.apply, variables, images)[0]
    assert out["logits"].shape == (1, 32, 32, 4)
    for path, _ in jax.tree_util.tree_leaves_with_path(variables["params"]):
      model.param_info(jax.tree_util.keystr(path, simple=True, separator="/"))
  with pytest.raises(InputError, match=r"a backbone of several levels: .* got stage_0 alone"):
    TASK.build(create_model("deit_micro", num_classes=0))
  task = dataclasses.replace(TASK, network=NETWORK | {"fusion": "5x5"})
  with pytest.raises(InputError, match="unknown fusion '5x5': expected one of 7x7, conv, gf"):
    task.build(create_model("hornet_micro_7x7", num_classes=0))


def test_names():
  assert get_task("segmentation") is Segmentation
  assert Classification.target == LABEL
  assert re.fullmatch(r"[a-z_]+", Segmentation.primary)
