"""The page of batches shows what the step trains on."""

import base64
import io
import re

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.image import imread

from hornet_jax.cli import config as config_flag
from hornet_jax.cli.main import main
from hornet_jax.train.set_up import set_up
from hornet_jax.train.step import example_keys


def test_page_shows_the_images_and_targets_of_the_step(data_dir, tmp_path, capfd):
  settings = {
    "data.data_dir": data_dir,
    "data.image_size": 16,
    "data.erasing_rate": 0.5,
    "mix.rate": 1.0,
    "mix.group_size": 32,
  }
  overrides = [f"--config.{key}={value}" for key, value in settings.items()]
  page = tmp_path / "batches.html"
  arguments = ["data", "show", f"--out={page}", "--batches=2", "--rows=40", *overrides]
  assert main(arguments) == 0
  assert str(page) in capfd.readouterr().out
  text = page.read_text()
  assert "http" not in text.replace("http-equiv", "")

  trainer, pipeline = set_up(config_flag.load("configs/digits.py", overrides), jax.devices()[:1])
  stream = pipeline.train_batches(0)
  next(stream)
  batch = next(stream)  # the second one, step 1
  keys = example_keys(0, jnp.int32(1), 64)
  inputs = jax.jit(lambda batch: trainer.task.inputs(batch, keys, train=True))(batch)
  images, targets, ratio = (inputs[name] for name in ("image", "target", "ratio"))
  assert np.sum(ratio[:40] < 1) > 0
  assert f"{np.sum(ratio[:40] < 1)} of these 40 rows are mixed" in text
  figures = re.findall(r"<figure.*?</figure>", text, re.DOTALL)
  assert len(figures) == 80
  for figure, image, target in zip(figures[40:], images, targets, strict=False):
    encoded = re.search(r"base64,([^\"]+)", figure)[1]
    shown = imread(io.BytesIO(base64.b64decode(encoded)))[..., :3]
    np.testing.assert_allclose(shown, np.clip(image * 0.5 + 0.5, 0, 1), atol=0.003)
    shares = re.findall(r'weight">([\d.]+)</span>(\d)', figure)
    expected = (np.asarray(target) - 0.01) / 0.9
    for share, name in shares:
      assert abs(float(share) - expected[int(name)]) < 0.006
    assert abs(sum(float(share) for share, _ in shares) - 1) < 0.02
