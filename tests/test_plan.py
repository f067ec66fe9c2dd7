"""Plans: what is read from the compiler's texts, and the arithmetic beside it."""

import math
import pathlib
import re

import jax
import jax.numpy as jnp
import pytest
from postcard import Postcard

from hornet_jax import create_model
from hornet_jax.cli import config as config_flag
from hornet_jax.cost import finished
from hornet_jax.cost.count import count_params
from hornet_jax.cost.estimate import estimate_step, scaled_basis
from hornet_jax.cost.finished import FINISHED, Finished, find_scale
from hornet_jax.cost.hardware import CHIPS, PEAK_FLOPS, parse_topology
from hornet_jax.cost.largest_batch import largest_batch
from hornet_jax.cost.memory import Memory, read_exceeded, read_memory
from hornet_jax.cost.model_work import training_work
from hornet_jax.cost.plan import Plan, make_scenario
from hornet_jax.cost.xla.collectives import read_collectives, totals
from hornet_jax.cost.xla.compile import Compiled, Lowered
from hornet_jax.cost.xla.cycles import Slowest, estimated_cycles
from hornet_jax.errors import InputError
from hornet_jax.models import VARIANTS, list_models
from hornet_jax.models.hornet import HorNet
from hornet_jax.models.registry import Variant
from hornet_jax.parallel.mesh import make_mesh
from hornet_jax.train.trainer import Trainer

DUMPS = pathlib.Path(__file__).parent / "golden" / "plan"


@pytest.fixture
def config():
  return config_flag.load("configs/imagenet1k.py:variant=tiny_gf", [])


def test_collectives_of_a_tpu_program():
  found = read_collectives((DUMPS / "program.txt").read_text(), 8)
  by_kind = totals(found)
  assert {kind: total.count for kind, total in by_kind.items()} == {
    "all-reduce": 1 + 2,  # one outside; one in a loop of 2
    "all-gather": 1 + 2 + 2,  # one outside; in the loop one in pieces, and one whole
    "reduce-scatter": 2,  # a fusion of the loop; its all-reduce counts as no other
    "collective-permute": 2,
  }
  assert by_kind["all-reduce"].wire_bytes == 2 * 7 / 8 * 4 + 2 * (2 * 7 / 8) * (2 * 384 + 4 * 1488)
  assert by_kind["all-gather"].wire_bytes == 7 / 8 * 2 * (
    1536 * 1000 + 2 * 768 * 192 + 2 * 192 * 384
  )
  assert by_kind["reduce-scatter"].wire_bytes == 2 * 7 / 8 * 2 * (1536 * 3072 + 256 * 384)
  assert by_kind["collective-permute"].wire_bytes == 2 * 2 * 32 * 384


@pytest.mark.parametrize(
  ("groups", "size"),
  [
    ("mesh['axis_0'=32,'axis_1'=8] {'axis_1'}", 8),
    ("mesh['axis_0'=256] {'axis_0':(32)8}", 8),
    ("[32,8]<=[256]", 8),
    ("{{0,1},{2,3}}", 2),
    ("{}", 256),
  ],
)
def test_groups_of_devices(groups, size):
  line = (
    f"  %a = f32[100]{{0}} all-gather(%b), channel_id=1, replica_groups={groups}, dimensions={{0}}"
  )
  (found,) = read_collectives(f"ENTRY %main (b: f32[1]) -> f32[100] {{\n{line}\n}}\n", 256)
  assert found.group == size
  assert found.wire_bytes == pytest.approx(400 * (size - 1) / size)


def test_memory_of_a_tpu_program():
  report = "Memory Space: default (color=0)\nTotal bytes: 700 (700B)\n  x\n"
  report += "Memory Space: vmem (color=1)\nTotal bytes: 999 (999B)\n"
  buffers = """BufferAssignment:
allocation 0: size 4096, page 0, thread-local:
 value: <1 add.7 @0> (size=4096,offset=0): f32[]
allocation 1: size 300, page 0, parameter 0, shape |f32[75]| at ShapeIndex {1}, maybe-live-out:
allocation 2: size 200, page 0, parameter 0, shape |f32[50]| at ShapeIndex {2}, maybe-live-out:
allocation 3: size 60, page 0, parameter 0, shape |u8[2,5,2,3]| at ShapeIndex {3}:
allocation 4: size 140, page 0, preallocated-temp:
"""
  assert read_memory(report, buffers) == Memory(total=700, arguments=560, images=60)
  with pytest.raises(ValueError, match="unknown form"):
    read_memory("Total: 3", buffers)


def test_the_compilers_refusal():
  message = (
    "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total memory "
    "required for HLO temporaries (261.14G) exceeds available HBM (15.75G). HLO module: jit_f."
  )
  assert read_exceeded(message) == round(261.14 * 2**30)
  assert read_exceeded("INTERNAL: something else") is None


def test_cycles_count_loops_and_no_operation_twice():
  cycles = '"estimated_cycles":"{}"'.format
  name = 'op_name="jit(step)/stage_0/conv"'
  text = f"""%fused (p: f32[]) -> f32[] {{
  ROOT %n = f32[] negate(%p), backend_config={{{cycles(9)}}}
}}
%cond (p: s32[]) -> pred[] {{
  %c = s32[]{{:T(128)}} constant(18)
  ROOT %lt = pred[] compare(%p, %c), direction=LT
}}
%body (p: s32[]) -> s32[] {{
  %f = f32[] fusion(%p), calls=%fused, metadata={{{name}}}, backend_config={{{cycles(10)}}}
}}
ENTRY %main (p: s32[]) -> s32[] {{
  %w = s32[] while(%p), condition=%cond, body=%body
  %g = f32[] fusion(%p), kind=kLoop, calls=%fused, backend_config={{{cycles(7)}}}
}}
"""
  assert estimated_cycles(text) == (18 * 10 + 7, Slowest(18 * 10, "jit(step)/stage_0/conv"))


def step_of(work, topology="v5e:2x4", images=128, **known):
  return estimate_step(
    parse_topology(topology),
    work,
    images,
    **{
      "fourier_passes": 6,
      "element_bytes": 2,
      "state_bytes": 10**9,
      "gradient_bytes": 10**8,
      "wire_bytes": 2e9,
      "between_bytes": 0.0,
      "cycles": None,
      "scale": None,
    }
    | known,
  )


def test_a_step_takes_its_busiest_unit_at_peak_or_the_compilers_cycles():
  work = training_work(create_model("hornet_tiny_7x7"), 224)
  step = step_of(work)
  assert step.matrix == pytest.approx(6 * 128 * work.matmul_macs / 3 / 197e12)
  assert (step.wire.low, step.wire.high) == pytest.approx((0.01, 0.02))
  assert step.seconds.low == max(step.matrix, step.vector, step.memory, 0.01)
  assert step.seconds.high == math.inf  # nothing was compiled to the end
  in_turn = step.matrix + step.vector + step.memory
  counted = step_of(work, cycles=1_500_000_000)
  assert counted.seconds.high == pytest.approx(1.0 + 0.02)
  assert counted.seconds.low == step.seconds.low
  # In what scaling costs, the networks weigh most beside the shortest step.
  assert counted.at_peak_networks_shown == pytest.approx(step.seconds.low + 0.02)
  few = step_of(work, cycles=1)
  assert few.seconds.high == pytest.approx(in_turn + 0.02)
  scale = find_scale("hornet_tiny_7x7", "v5e", "bfloat16", "dft", "none", 128)
  scaled = step_of(work, scale=scale)
  assert scaled.seconds.high == pytest.approx(scale.ratio * in_turn + 0.02)
  assert "hornet_tiny_7x7" in scaled.cycles.basis
  assert step_of(work, scale=scale, cycles=1_500_000_000).seconds == counted.seconds


@pytest.mark.parametrize(
  "row", FINISHED, ids=lambda r: f"{r.variant} {r.generation} {r.dtype} {r.images}"
)
def test_default_ranges_contain_what_finished_compiles_said(row):
  """What is scaled was divided by the work as it is counted today, and reaches every compile."""
  model = create_model(row.variant, remat=row.remat)
  params = count_params(
    jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 224, 224, 3))))
  )
  step = step_of(
    training_work(model, 224),
    {"v5p": "v5p:2x2x2", "v4": "v4:2x2x2"}.get(row.generation, f"{row.generation}:2x4"),
    row.images,
    element_bytes={"bfloat16": 2, "float32": 4}[row.dtype],
    state_bytes=16 * params,
    gradient_bytes=4 * params,
    scale=find_scale(row.variant, row.generation, row.dtype, "dft", row.remat, row.images),
  )
  assert 1e3 * step.in_turn == pytest.approx(row.in_turn, abs=0.15)
  assert step.seconds.low * 1e3 < row.cycles < step.seconds.high * 1e3 - 1e3 * step.wire.high


def test_models_of_no_finished_compile_have_no_upper_end():
  paper = re.compile(r"hornet_(tiny|small|base|large)_(7x7|gf)(_img384)?")
  others = ("hornet_micro_gf", "hornet_iso_small_7x7", "ladder_g2345", "convnext_tiny")
  for name in (*list_models("hornet_tiny_*"), "hornet_large_gf_img384", *others):
    found = find_scale(name, "v5e", "bfloat16", "dft", "none", 128)
    assert (found is not None) == bool(paper.fullmatch(name)), name
    if found:
      assert ("gf" in found.source.variant) == ("gf" in name)
  assert find_scale("hornet_tiny_gf", "v5e", "bfloat16", "fft", "none", 128) is None
  assert find_scale("hornet-tiny", "v5e", "bfloat16", "fft", "none", 128).same_chip
  other = find_scale("hornet_base_7x7", "v4", "bfloat16", "dft", "none", 128)
  assert not other.same_chip
  assert "as none was for this TPU" in scaled_basis(other)


def test_a_compile_scales_the_variants_of_its_architecture(monkeypatch):
  """A new architecture, or a new width of a known one, needs its compile and no other edit."""
  for name, constructor, fields in (
    ("postcard_small", Postcard, {"dim": 8}),
    ("postcard_large", Postcard, {"dim": 16}),
    ("mine", HorNet, {"base_dim": 32, "filters": ("7x7", "7x7", (14, 8), (7, 4))}),
  ):
    size = 16 if constructor is Postcard else 224
    monkeypatch.setitem(VARIANTS, name, Variant(constructor, "ours", size, fields))
  assert find_scale("postcard_large", "v5e", "bfloat16", "dft", "none", 128) is None
  compiled = Finished("postcard_small", "v5e", "bfloat16", "none", 128, 30.0, 10.0)
  monkeypatch.setattr(finished, "FINISHED", (*FINISHED, compiled))
  assert find_scale("postcard_large", "v5e", "bfloat16", "dft", "none", 128).source == compiled
  of_mine = find_scale("mine", "v5e", "bfloat16", "dft", "none", 128)
  assert of_mine.source.variant.endswith("gf")


def test_an_operation_that_is_stuck_counts_for_the_step_in_which_it_was_seen():
  large = ("hornet_large_gf", "v5e", "bfloat16", "dft", "full")
  stuck, other = find_scale(*large, 64), find_scale(*large, 128)
  assert stuck.ratio > 40
  assert "6804 ms of it in one operation" in scaled_basis(stuck)
  assert other.ratio < 6
  assert "of it in one operation" not in scaled_basis(other)


def test_devices_of_a_chip():
  """A chip of TPU7x is two JAX devices; one of v4 is one, though the compiler's default is two."""
  ironwood, v4 = parse_topology("tpu7x:2x2x1"), parse_topology("v4:2x2x2")
  assert (ironwood.num_chips, ironwood.num_devices) == (4, 8)
  assert (v4.num_chips, v4.num_devices, v4.chip.chip_config) == (8, 8, "megacore")
  assert PEAK_FLOPS["TPU7x"] == 2307e12 / 2
  assert CHIPS["v6e"].link_gbps * CHIPS["v6e"].links * 8 == 3200  # Gbit/s one way


def test_the_network_between_slices(config):
  """Each chip sums its part of the gradients with its like in the other slices, in a ring."""
  topology = parse_topology("v5e:2x4")
  scenario = make_scenario(config, topology, images=128, slices=4)
  assert scenario.config["data"]["batch_size"] == 4 * 8 * 128
  assert scenario.mesh == (32, 1)
  lowered = Lowered("", 2**28, 2**28, 2**29, 0, 10**8, 10)
  plan = Plan(scenario, lowered, None, None, None)
  assert plan.gradient_bytes == 4 * 10**8  # float32
  assert plan.between_bytes == pytest.approx(2 * 3 / 4 * 4 * 10**8 / 8)
  work = training_work(create_model("hornet_tiny_7x7"), 224)
  scale = find_scale("hornet_tiny_7x7", "v5e", "bfloat16", "dft", "none", 128)
  alone, together = step_of(work, scale=scale), step_of(work, scale=scale, between_bytes=3.125e9)
  assert together.between == 1.0
  assert together.seconds.low == 1.0
  assert together.seconds.high == pytest.approx(alone.seconds.high + 1)
  with pytest.raises(InputError, match=r"network is stated: expected one of v5e, .* got v4"):
    make_scenario(config, parse_topology("v4:2x2x2"), images=128, slices=2)


def test_mixing_groups_are_made_to_fit(config):
  topology = parse_topology("v5e:2x4")
  assert make_scenario(config, topology, images=128).notes == ()
  scenario = make_scenario(config, topology, images=48)
  assert scenario.config["mix"]["group_size"] == 48
  assert scenario.config["data"]["batch_size"] == 8 * 48
  assert "128 does not divide 48" in scenario.notes[0]
  assert config["mix"]["group_size"] == 128
  with pytest.raises(InputError, match="must be even"):
    make_scenario(config, topology, images=3)
  with pytest.raises(InputError, match="multiple of the 8 chips"):
    make_scenario(config | {"data": config["data"] | {"batch_size": 12}}, topology)


def made_up(config, images, bytes_an_image, constant=2**30):
  """A plan of a chip with 15.75 GiB whose memory grows in a line, and a state of 1 GiB."""
  scenario = make_scenario(config, parse_topology("v5e:2x4"), images=images)
  lowered = Lowered("", 2**28, 2**28, 2**29, 0, 0, 10)
  memory = Memory(2**30 + constant + images * bytes_an_image, 2**30, 0)
  return Plan(scenario, lowered, Compiled(memory, [], None, None, 0.0), None, None)


@pytest.mark.parametrize("start", [8, 64, 104, 112, 4096])
@pytest.mark.parametrize("bend", [0, 60, 100])
def test_largest_batch_and_the_next_are_both_compiled(config, start, bend):
  """Also where memory jumps, as it does when the compiler finds another order."""
  tried = []

  def plan_of(images):
    tried.append(images)
    return made_up(config, images, 2**27, 2**30 + (images > bend > 0) * 2**31)

  found = largest_batch(plan_of(start), plan_of)
  # 110 have room, or 94, or all before the jump; a multiple of 8.
  assert found.fitting.scenario.images == {0: 104, 60: 88, 100: 96}[bend]
  assert found.exceeding.scenario.images == found.fitting.scenario.images + 8
  assert found.is_next
  assert {found.fitting.scenario.images, found.exceeding.scenario.images} <= set(tried)
  assert len(tried) == len(set(tried)) <= 9


def test_no_batch_fits_or_none_was_seen_not_to(config):
  found = largest_batch(
    made_up(config, 16, 2**27, 2**34), lambda n: made_up(config, n, 2**27, 2**34)
  )
  assert (found.fitting, found.exceeding.scenario.images, found.is_next) == (None, 2, True)
  start = made_up(config, 16, 2**27)
  found = largest_batch(start, lambda n: made_up(config, n, 2**27), tries=0)
  assert (found.fitting, found.exceeding, found.is_next) == (start, None, False)


SMALL_FSDP = {
  "model.patch_size": 2,
  "model.remat": "full",
  "mesh.fsdp": 8,
  "data.image_size": 32,
  "data.batch_size": 16,
  "mix.group_size": 2,
}


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["hornet_micro_gf", "swin_micro"])
def test_collectives_of_fsdp_on_cpu(variant, monkeypatch):
  """Kernels are gathered and their gradients scattered, block by block; nothing changes sides."""
  monkeypatch.setattr("hornet_jax.parallel.sharding.MIN_SIZE", 4096)
  settings = SMALL_FSDP | {"model.variant": variant}
  overrides = [f"--config.{key}={value}" for key, value in settings.items()]
  config = config_flag.load("configs/imagenet1k.py:variant=tiny_gf", overrides)
  mesh = make_mesh(jax.devices(), 8)
  trainer = Trainer(config, mesh, num_classes=10, num_examples=1000)
  params = jax.tree.leaves(trainer.abstract_state().params)
  cut = [leaf for leaf in params if not leaf.sharding.is_fully_replicated]
  assert cut
  for leaf in cut:
    assert leaf.sharding.shard_shape(leaf.shape)[-2] * 8 == leaf.shape[-2]
  [program] = trainer.compile_train_step().programs.values()
  by_kind = totals(read_collectives(program.as_text(), 8))
  assert "all-to-all" not in by_kind
  # In the forward and again in the backward pass, in bytes of float32.
  kernels = sum(leaf.size for leaf in cut) * 4
  assert by_kind["all-gather"].wire_bytes == pytest.approx(2 * 7 / 8 * kernels, rel=0.1)


def test_a_step_is_described_before_the_mesh_is_set(monkeypatch):
  """Under a mesh of devices that are not there nothing can run, not even the draw of a key."""
  config = config_flag.load("digits:variant=nano_7x7,runlocal", [])
  trainer = Trainer(config, make_mesh(jax.devices()[:1], 1), num_classes=10, num_examples=1437)
  under_mesh, describe = [], trainer.abstract_state

  def seen():
    under_mesh.append(not jax.sharding.get_abstract_mesh().empty)
    return describe()

  monkeypatch.setattr(trainer, "abstract_state", seen)
  trainer.lower_train_step()
  assert under_mesh
  assert not any(under_mesh)
