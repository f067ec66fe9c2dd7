"""The benchmarks run; what they print is for people."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import pytest

from hornet_jax.bench.compile import FIRST
from hornet_jax.bench.result import Result, processor
from hornet_jax.bench.step import make_train_step
from hornet_jax.bench.tpu_block_child import lower_block
from hornet_jax.bench.tpu_blocks import Block, Counts, count_blocks, count_bundles
from hornet_jax.cli.main import main
from hornet_jax.models import create_model, get_variant

ROOT = pathlib.Path(__file__).parents[1]


def run_json(capsys, *arguments):
  assert main(["bench", *arguments, "--json"]) == 0
  found = json.loads(capsys.readouterr().out)
  assert found["versions"]["jax"] == jax.__version__
  assert "cpu" in found["device"]
  return found["rows"]


@pytest.mark.slow
def test_step_benchmark_times_both_passes_by_implementation(capsys):
  sizes = ["--forward_batch=1", "--train_batch=1", "--rounds=1"]
  rows = run_json(capsys, "step", "--variant=hornet_nano_7x7", *sizes)
  assert [(row["of"], row["by"]) for row in rows] == [
    (of, by) for of in ("forward", "train step") for by in ("grouped", "shift")
  ]
  for row in rows:
    assert 0 < row["min ms"] <= row["median ms"] <= row["max ms"]
    assert (row["to grouped"] == 1) == (row["by"] == "grouped")


def test_laws_benchmark_holds_the_bootstrap_against_single_fits(capsys):
  rows = run_json(capsys, "laws", "--points=30", "--samples=50", "--rounds=1")
  assert [(row["criterion"], row["samples"]) for row in rows] == [
    (criterion, by) for criterion in ("squares", "Huber's loss") for by in ("one by one", "at once")
  ]
  assert all(row["CPU-ms a sample"] > 0 for row in rows)


@pytest.mark.slow
def test_ops_benchmark_holds_each_form_against_the_library_s(capsys):
  sizes = ["--batch=1", "--rounds=1", "--dtype=bfloat16"]
  rows = run_json(capsys, "ops", "--variant=hornet_nano_gf", *sizes)
  kinds = {row["operation"].split(",")[0] for row in rows}
  assert kinds == {"depthwise 7x7", "global filter", "LayerNorm", "GELU"}
  assert {row["by"] for row in rows} == {"grouped", "shift", "fft", "dft", "flax", "jax", "ours"}
  assert all(row["speed-up"] > 0 for row in rows)


@pytest.mark.parametrize("variant", ["hornet_nano_gf", "swin_micro", "deit_micro"])
def test_a_block_of_any_family_is_lowered(variant):
  """Swin's take turns: the last kind, with shifted windows, stands for both."""
  features = create_model(variant).features()[0]
  side = get_variant(variant).image_size // features.stride
  block = {"variant": variant, "settings": {}, "stage": 0}
  block |= {"side": side, "dim": features.channels}
  lowered = lower_block(block, 2, jax.devices()[0])
  y, (_, x_gradient) = lowered.out_info
  assert y.shape == x_gradient.shape == (2, side, side, features.channels)


def test_a_table_for_people():
  rows = [{"by": "a", "ms": 1234.5, "n": 1234, "": None}, {"by": "b", "ms": 0.1234, "n": 0, "": ""}]
  title, _, _, first, second, note, where = Result("title", rows, ["note"]).table().splitlines()
  assert (title, note) == ("title", "note")
  assert first.split() == ["a", "1,234", "1,234"]
  assert second.split() == ["b", "0.123", "0"]
  assert f"jax {jax.__version__}" in where


SMALL = [
  "--config=configs/digits.py:variant=nano_7x7",
  "--config.data.image_size=16",
  "--config.data.batch_size=8",
]


@pytest.mark.slow
def test_memory_benchmark_shows_each_policy(capsys, monkeypatch):
  monkeypatch.setattr("hornet_jax.bench.memory.REMAT", ("none", "dense", "full"))
  rows = {row["remat"]: row for row in run_json(capsys, "memory", *SMALL)}
  assert rows["none"]["computed again, %"] == 0
  # The blocks of a forward pass; test_count.py holds the counts against recorded ones.
  assert rows["full"]["computed again, %"] == pytest.approx(28.169178642)
  assert 0 < rows["dense"]["computed again, %"] < rows["full"]["computed again, %"]
  assert all(row["MiB of temporaries"] > 0 for row in rows.values())


@pytest.mark.slow
def test_compile_benchmark_starts_again_from_what_was_kept(capsys):
  rows = {row["start"]: row for row in run_json(capsys, "compile", *SMALL)}
  assert list(rows) == ["unrolled", FIRST, "again, compilation cache"]
  again = rows["again, compilation cache"]
  assert again["compiling s"] < rows[FIRST]["compiling s"] / 2


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    ("model name\t: A CPU\nflags\t\t: sse avx avx2 avx512f fma\n", "A CPU, AVX-512"),
    ("model name\t: A CPU\nflags\t\t: sse avx avx2 fma\n", "A CPU, AVX2"),
    ("Features\t: fp asimd\n", "aarch64"),
  ],
)
def test_processor_is_named_with_its_widest_vectors(text, expected, monkeypatch):
  monkeypatch.setattr("pathlib.Path.read_text", lambda path: text)
  monkeypatch.setattr("platform.machine", lambda: "aarch64")
  assert processor() == expected


def test_bundles_count_as_often_as_their_loop_runs():
  listing = """\
LB: loop body
     0   :  { %v0 = vlaneseq.b32 }
   0x1   :  { %v1 = vld [vmem:[%s1] sm:$0xff] }
   0x2 LB: > { %s15 = sadd.s32 4294967295, %s14 }
   0x3   : > { %v2 = vmul.f32 %v1, %v1 }
   0x4   : >> { %v3 = vmul.f32 %v1, %v2 }
   0x5 PF:  { vst [vmem:[%s2] sm:$0xff] %v2 }
iteration_bounds: (1, 2, 5)
"""
  assert count_bundles(listing) == 3 + 10 * 3
  assert count_bundles(listing.replace("iteration_bounds", "other")) == 6


def test_tpu_benchmarks_add_up_blocks(capsys, monkeypatch):
  """With a compiler that counts a block's channels."""

  def count(blocks, images, topology):
    assert (images, topology) == (128, "v5e:1x1")
    return [Counts(block.dim * 10**6, block.dim, 10**9, 0) for block in blocks]

  monkeypatch.setattr("hornet_jax.bench.tpu_blocks.count_blocks", count)
  at = ["--tpu_topology=v5e:1x1"]
  rows = run_json(capsys, "step", *at, "--train_batch=128", "--variant=hornet_tiny_gf")
  assert [row["model"] for row in rows] == ["convnext_tiny", "hornet_tiny_gf"]
  assert rows[0]["Mcycles"] == 96 * (3 + 2 * 3 + 4 * 9 + 8 * 3)
  assert rows[1]["cycles ratio"] == 64 * (2 + 2 * 3 + 4 * 18 + 8 * 2) / rows[0]["Mcycles"]
  assert rows[1]["roofline ms"] == pytest.approx(25 / 819 * 1e3)
  rows = run_json(capsys, "ops", *at, "--batch=128", "--stage=4")
  assert [row["Mcycles"] for row in rows] == [512] * 5
  assert rows[0]["block"] == "7x7"


@pytest.mark.plan
def test_the_tpu_compiler_counts_a_block(monkeypatch, tmp_path):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  block = Block(8, 4, "hornet_nano_7x7")
  first = count_blocks([block, block], 8, "v5e:1x1")
  assert first[0] == first[1]
  assert min(first[0].cycles, first[0].bundles, first[0].bytes, first[0].flops) > 1000
  assert len(list((tmp_path / "hornet_jax" / "plan").iterdir())) == 1
  assert count_blocks([block], 8, "v5e:1x1") == first[:1]


def test_the_timed_train_step_trains():
  step = make_train_step("hornet_nano_7x7", batch_size=2)
  losses = [float(step()[1]) for _ in range(8)]
  assert losses[-1] < losses[0]


@pytest.mark.slow
def test_input_benchmark_agrees_with_pillow_and_tf_data():
  """In a process of its own: TensorFlow stays out of this one."""
  child = subprocess.run(
    [sys.executable, "-m", "hornet_jax", "bench", "input", "--images=2", "--rounds=1"],
    cwd=ROOT,
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    check=True,
  )
  rows = [line.split("  ") for line in child.stdout.splitlines()]
  cells = {row[0]: [cell.strip() for cell in row if cell.strip()] for row in rows}
  for name, bound in (("ours", 0.1), ("ours, RandAugment", 0.1), ("tf.data, antialiased", 0.5)):
    assert float(cells[name][-1]) <= bound, child.stdout
  assert float(cells["tf.data"][-1]) > 0.5  # without antialiasing the views are others
  assert "cores like this one" in child.stdout
  assert child.stderr == ""
