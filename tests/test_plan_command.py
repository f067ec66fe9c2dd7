"""The command `plan`, with a compiler that answers at once and with the real one."""

import os
import pathlib
import re

import pytest
from test_plan import SMALL_FSDP

from hornet_jax.cli.main import main
from hornet_jax.cost.memory import Memory
from hornet_jax.cost.xla.collectives import Collective
from hornet_jax.cost.xla.compile import Compiled, Lowered


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["--topology=v5f:2x4"], "unknown TPU 'v5f'.*did you mean"),
    (["--topology=v5e:2x2x2"], "must have 2 sides"),
    (["--topology=v5e"], "sides of its slice"),
    (["--topology=v5e:32x32"], "must be a slice that exists.*Hint: v5e:16x16"),
    (["--topology=v5e:3x5"], "must be a slice that exists.*Hint: v5e:4x4"),
    (["--topology=v6e:16x32"], "must be a slice that exists.*Hint: v6e:16x16"),
    (["--topology=v5p:16x20x28"], "must be a slice that exists.*v5p:16x1"),
    (["--topology=v4:4x4x512"], "must be a slice that exists.*Hint: v4:4x4x"),
    (["--topology=v4:2x2x2", "--slices=2", "--batch=128"], "network is stated.*got v4"),
    (["--topology=tpu7x:2x2x1", "--mesh=4x1"], "4 chips of tpu7x:2x2x1, 2 devices each"),
    (["--mesh=4x2", "--slices=2"], "16 chips of 2 slices of v5e:2x4"),
    (["--mesh=4x4"], "must have the 8 chips"),
    (["--mesh=a"], "DATAxFSDP"),
    (["--batch=0"], "--batch must be a whole number"),
    (["--batch=8,16"], "--compare takes several"),
    (["--remat=some"], "unknown remat"),
    (["--price=cheap"], "--price must be"),
    (["--weak_scaling"], "needs --batch"),
    (["--config.data.dataset=mine"], "--num_examples and --num_classes"),
  ],
)
def test_bad_arguments(arguments, message, capsys, monkeypatch):
  monkeypatch.setattr("hornet_jax.cli.plan.check_compiler", lambda: "0")
  assert main(["plan", "--config=configs/imagenet1k.py", *arguments]) == 2
  assert re.search(message, capsys.readouterr().err)


def test_a_missing_compiler_is_named(capsys, monkeypatch):
  monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
  assert main(["plan", "--config=configs/imagenet1k.py"]) == 2
  assert "-m pip install libtpu" in capsys.readouterr().err


def fake_compiler(request, time_limit, cache, progress):
  """Memory of 0.1 GiB an image, half of it with everything recomputed; sends 1 GB."""
  images = request.config["data"]["batch_size"] // request.topology.num_chips
  share = 0.05 if request.config["model"]["remat"] == "full" else 0.1
  memory = Memory(2**30 + round(images * share * 2**30), 2**30, 0)
  steps = 10**9 // request.config["data"]["batch_size"]
  lowered = Lowered("", 2**28, 2**28, 2**29, 0, 10**8, steps)
  progress("compiling", 31.0)
  return lowered, Compiled(memory, [Collective("all-gather", 2 * 10**9, 2, 1)], None, None, 1.0)


SMALL = {"model.variant": "hornet_nano_gf", "model.patch_size": 2, "data.image_size": 32}


@pytest.fixture
def plan(monkeypatch, capsys):
  monkeypatch.setattr("hornet_jax.cli.plan.check_compiler", lambda: "0")
  monkeypatch.setattr("hornet_jax.cost.plan.compile_program", fake_compiler)

  def run(*arguments):
    small = [f"--config.{key}={SMALL[key]}" for key in SMALL]
    config = "--config=configs/imagenet1k.py:variant=tiny_gf"
    status = main(["plan", config, *small, *arguments])
    return status, capsys.readouterr()

  return run


def test_report_of_one_that_fits(plan):
  status, printed = plan("--batch=64", "--price=2")
  assert status == 0
  assert "fits: 7.40 of 15.75 GiB" in printed.out
  assert "group_size 128 does not divide 64" in printed.out
  assert re.search(r"all-gather +1 +1000.0\n", printed.out)
  assert re.search(r"interconnect +5.0 - 10.0 ms", printed.out)
  assert re.search(r"estimate +at peak +by cycles\n", printed.out)
  # No compile of so small a model was finished.
  hours = re.search(r"chip-hours on 8 chips +(\d+) +not known\n", printed.out)
  price = re.search(r"price +(\d+) +not known\n", printed.out)
  assert int(price[1]) == pytest.approx(2 * int(hours[1]), abs=1)
  assert re.search(r"images/s +[\d,]+ +not known\n", printed.out)
  assert "By cycles, the upper end: not known here" in printed.out
  assert "What neither end knows" in printed.out
  assert "compiling, 31 s" in printed.err


def test_only_what_was_compiled_is_called_fitting(plan):
  _, printed = plan("--batch=64")
  assert "largest batch: not compiled" in printed.out
  _, printed = plan("--batch=64", "--largest")
  assert "not compiled" not in printed.out
  assert (
    "largest batch found to fit: 144 images a chip, remat none: 15.40 of 15.75 GiB; 152 do not "
    "fit (16.20 GiB)" in printed.out
  )


PAPERS = ["--config.model.variant=hornet_tiny_7x7", "--config.model.patch_size=4"]
PAPERS += ["--config.model.dtype=bfloat16", "--config.data.image_size=64"]


def test_the_upper_end_is_scaled_from_a_finished_compile(plan):
  _, printed = plan("--batch=64", *PAPERS)
  ends = re.search(r"step +([\d.]+) ms +([\d.]+) ms\n", printed.out)
  assert float(ends[2]) > float(ends[1])
  assert re.search(r"compiler's cycles, scaled +[\d.]+ ms\n", printed.out)
  assert re.search(r"By cycles, the upper end: [\d.]+ times matrix unit", printed.out)
  assert re.search(r"finished compiles of this model's family \(hornet_tiny_7x7", printed.out)


OF_A_HEAD = ["--config.segmentation.channels=8", "--config.segmentation.auxiliary_channels=8"]
OF_A_HEAD += ["--config.model.variant=hornet_nano_7x7", "--config.data.image_size=32"]


def test_segmentation_is_planned_with_an_image_a_chip(monkeypatch, capsys):
  """No image is mixed, and no cycles are scaled from those of classifiers."""
  monkeypatch.setattr("hornet_jax.cli.plan.check_compiler", lambda: "0")
  monkeypatch.setattr("hornet_jax.cost.plan.compile_program", fake_compiler)
  monkeypatch.setattr("hornet_jax.cost.plan.find_scale", lambda *_: pytest.fail("scaled"))
  arguments = ["--config=ade20k", "--topology=v5e:4x4", *OF_A_HEAD]
  assert main(["plan", *arguments]) == 0
  printed = capsys.readouterr().out
  assert "mesh 16x1, 1 image of 32 a chip" in printed
  assert "note:" not in printed
  assert "By cycles, the upper end: not known here" in printed


def test_several_slices_show_the_network_between_them(plan):
  _, one = plan("--batch=64", *PAPERS)
  assert "Data-centre" not in one.out
  status, printed = plan("--batch=64", "--slices=2", *PAPERS)
  assert status == 0
  assert "on 2 slices of v5e:2x4, mesh 16x1, 64 images" in printed.out
  # 2 bytes of each of 10^8 parameters, an eighth a chip, at 3.125 GB/s.
  assert re.search(r"data-centre network +8.0 ms\n", printed.out)
  assert re.search(r"8.0 ms, [\d.]+ to [\d.]+ % of a step", printed.out)
  assert "Assumed: 3.125 GB/s in each direction for each chip" in printed.out
  assert "chip-hours on 16 chips" in printed.out
  assert "The program of one slice was compiled" in printed.out
  _, table = plan("--batch=64", "--slices=2", "--compare", *PAPERS)
  assert "Assumed: 3.125 GB/s" in table.out


def test_a_chip_of_two_devices(plan):
  """Memory is that of a device, half of it; images, work and prices are those of a chip."""
  _, printed = plan("--topology=tpu7x:2x2x1", "--batch=128", *PAPERS)
  assert "mesh 8x1, 128 images of 64 a chip" in printed.out
  assert "memory of a device, 2 of which are a chip" in printed.out
  assert re.search(r"fits: [\d.]+ of 94.74 GiB", printed.out)
  assert "chip-hours on 4 chips" in printed.out
  assert re.search(r"interconnect +3.3 - 10.0 ms", printed.out)  # of both devices
  assert "as none was for this TPU" in printed.out


def test_report_of_one_that_does_not_fit_says_what_would(plan):
  status, printed = plan("--batch=4096", "--remat=none")
  assert status == 1
  assert "DOES NOT FIT: 410.60 of 15.75 GiB" in printed.out
  assert "largest batch found to fit: 144 images a chip, remat none" in printed.out
  assert "152 do not fit" in printed.out
  assert "with --remat=full it does not fit either; largest batch found to fit: 288" in printed.out
  assert "296 do not fit" in printed.out


def test_comparison_marks_the_cheapest_that_fits(plan):
  status, printed = plan("--compare", "--batch=64,96,256", "--remat=none,full", *PAPERS)
  assert status == 0
  rows = [line.split() for line in printed.out.splitlines() if "v5e:2x4" in line]
  assert len(rows) == 6
  marked = [row for row in rows if row[0] == "*"]
  # What is sent counts most here: the larger the batch the better, as long as it fits.
  assert [row[3:5] for row in marked] == [["full", "256"]]
  assert "* the fewest chip-hours that fit, all of one TPU" in printed.out
  assert [row[2:4] for row in rows if "no" in row] == [["none", "256"]]


@pytest.mark.parametrize(
  ("arguments", "missing"),
  [([], "v5e, v6e"), (["--price=v5e=1"], "v6e"), (["--price=v4=1"], "v5e, v6e")],
)
def test_nothing_is_the_cheapest_without_all_prices(plan, arguments, missing):
  two = ["--compare", "--topology=v5e:2x4,v6e:2x4", "--batch=64", *PAPERS]
  _, printed = plan(*two, *arguments)
  assert f"None is marked as the cheapest: there is no price of {missing} (--price)" in printed.out
  assert "*" not in printed.out
  _, printed = plan(*two, "--price=v5e=1,v6e=2")
  assert "* the cheapest that fits" in printed.out
  assert len(re.findall(r"^ *\* +v\de", printed.out, re.MULTILINE)) == 1


def test_nothing_is_the_cheapest_without_upper_ends(plan):
  _, printed = plan("--compare", "--batch=64,96", "--price=1")
  assert "None is marked as the cheapest: not every step has a known upper end" in printed.out


def test_weak_scaling_has_a_row_a_size(plan):
  _, printed = plan("--weak_scaling", "--batch=64")
  assert re.search(
    r"^ +256 .* from \d+ .* up to [\d,]+ +100.0 - 100.0 %$", printed.out, re.MULTILINE
  )
  _, printed = plan("--weak_scaling", "--batch=64", *PAPERS)
  rows = re.findall(r"^ +(\d+) .* ([\d.]+) - ([\d.]+) %$", printed.out, re.MULTILINE)
  assert [int(row[0]) for row in rows] == [8, 16, 32, 64, 128, 256]
  assert all(row[1:] == ("100.0", "100.0") for row in rows)  # the fake always sends as much


def test_info_shows_where_parameters_lie(capsys):
  assert main(["info", "hornet_large_gf", "--fsdp=8"]) == 0
  printed = capsys.readouterr().out
  # 4 bytes, an eighth of each of the 18 blocks.
  row = re.search(
    r"stage_2/block_\*/mlp/fc1/kernel +768x3072 +P\('fsdp', None\) +18 +([\d,]+)", printed
  )
  assert int(row[1].replace(",", "")) == 18 * 768 * 3072 * 4 // 8
  assert re.search(r"stage_2/block_\*/gnconv/dwconv/filter_re +14x8x720 +whole +18", printed)


TPU = [f"--config.{key}={value}" for key, value in SMALL_FSDP.items() if "batch" not in key]
TPU += ["--config.model.dtype=bfloat16", "--topology=v5e:2x4"]


@pytest.mark.plan
def test_a_tpu_program(capsys, monkeypatch, tmp_path):
  """The real compiler: parts are gathered and scattered; the second time it is not asked."""
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  command = ["plan", "--config=configs/imagenet1k.py:variant=tiny_gf", *TPU]
  assert main([*command, "--batch=8"]) == 0
  printed = capsys.readouterr().out
  assert "fits" in printed
  assert "reduce-scatter" in printed
  assert "all-gather" in printed
  assert "all-to-all" not in printed
  monkeypatch.setattr("hornet_jax.cost.xla.compile._read", None)
  assert main([*command, "--batch=8"]) == 0
  assert capsys.readouterr().out == printed


@pytest.mark.plan
def test_a_tpu_program_that_does_not_fit(capsys, monkeypatch, tmp_path):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  absurd = ["--batch=1048576", "--num_examples=100000000", "--num_classes=10"]
  command = ["plan", "--config=digits:variant=nano_gf", *TPU, *absurd]
  assert main(command) == 1
  printed = capsys.readouterr().out
  assert "DOES NOT FIT" in printed
  assert "largest batch found to fit" in printed


@pytest.mark.plan
def test_a_full_compile_has_cycles(capsys, monkeypatch, tmp_path):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  command = ["plan", "--config=configs/imagenet1k.py:variant=tiny_gf", *TPU, "--batch=8", "--full"]
  assert main(command) == 0
  printed = capsys.readouterr().out
  assert re.search(r"compiler's cycles +[\d.]+ ms\nin one operation +[\d.]+ ms\n", printed)
  assert re.search(r"^that operation: \S+", printed, re.MULTILINE)
  assert re.search(r"step +[\d.]+ ms +[\d.]+ ms\n", printed)


@pytest.mark.plan
@pytest.mark.parametrize(
  ("topology", "memory"), [("v4:2x2x2", "30.75 GiB"), ("tpu7x:2x2x1", "94.74 GiB")]
)
def test_chips_whose_devices_the_compiler_has_to_be_told(
  topology, memory, capsys, monkeypatch, tmp_path
):
  """A mesh of 8 devices: 8 chips of v4, 4 chips of TPU7x, with the memory of a device."""
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  command = ["plan", "--config=configs/imagenet1k.py:variant=tiny_gf", *TPU, "--batch=16"]
  assert main([*command, f"--topology={topology}"]) == 0
  printed = capsys.readouterr().out
  assert "mesh 1x8, 16 images" in printed
  assert re.search(rf"^fits: [\d.]+ of {memory}$", printed, re.MULTILINE)


@pytest.mark.plan
def test_a_cascade_on_the_largest_canvas_fits(capsys, monkeypatch, tmp_path):
  """The official Cascade Mask R-CNN with HorNet-T: two images of 800x1344 on each of 8 chips."""
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  arguments = ["--config=coco:variant=tiny_7x7", "--topology=v5e:2x4", "--time_limit=3600"]
  assert main(["plan", *arguments]) == 0
  printed = capsys.readouterr().out
  assert "mesh 8x1, 2 images" in printed
  assert re.search(r"^fits: [\d.]+ of 15.75 GiB$", printed, re.MULTILINE)
  assert "all-to-all" not in printed
  assert "collective-permute" not in printed


@pytest.mark.plan
def test_models_and_tasks_of_the_users_own(capsys, data_dir, monkeypatch, tmp_path):
  """The compiler's process imports the modules that the config names."""
  (tmp_path / "my_modules.py").write_text(
    "import functools\n"
    "from hornet_jax import register as register_model\n"
    "from hornet_jax.tasks import register\n"
    "from made_up_task import Negative\n"
    "from postcard import Postcard\n"
    "register_model('postcard_mine', functools.partial(Postcard, grid=8), image_size=16)\n"
    "register('negative_mine', Negative)\n"
  )
  tests = pathlib.Path(__file__).parent
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(tests)]))
  command = ["plan", "--config=digits", *TPU, "--batch=16", "--config.model.patch_size=2"]
  command += ["--config.imports=('my_modules',)", "--config.model.variant=postcard_mine"]
  command += ["--config.data.image_size=16", "--config.task=negative_mine"]
  command += [f"--config.data.data_dir={data_dir}"]
  assert main(command) == 0
  assert "fits" in capsys.readouterr().out
