"""The README tells the truth where a machine can see it."""

import pathlib
import re

from hornet_jax import create_model
from hornet_jax.cli.main import COMMANDS
from hornet_jax.cost import stage_costs
from hornet_jax.models import VARIANTS

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_table_of_variants():
  rows = {}
  for line in README.splitlines():
    match = re.match(r"\| (hornet_\w+)( \(ours\))? \| ([\d,]+) \| ([\d,]+) \| (\d+) \|", line)
    if match:
      name, ours, *numbers = match.groups()
      rows[name] = (bool(ours), *(int(number.replace(",", "")) for number in numbers))
  assert list(rows) == list(VARIANTS)
  for name, variant in VARIANTS.items():
    costs = stage_costs(create_model(name), variant.image_size)
    params, macs = sum(c.params for c in costs), sum(c.macs for c in costs)
    assert rows[name] == (variant.origin == "ours", params, macs, variant.image_size)


def test_commands_exist():
  blocks = "".join(re.findall(r"```\n(.*?)```", README, re.DOTALL))
  commands = re.findall(r"^(?:\./hornet|hornet|python -m hornet_jax) ([a-z]+)\b", blocks, re.M)
  assert len(commands) >= 8
  assert set(commands) <= {*COMMANDS, "test"}


def test_layout_and_links_exist():
  layout = README.partition("## Layout")[2].partition("```\n")[2].partition("```")[0]
  folder = ROOT
  for line in layout.splitlines():
    name = line.split()[0]
    folder = ROOT / "hornet_jax" if line.startswith("  ") else ROOT
    assert (folder / name).exists(), name
  for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
    assert (ROOT / target).exists(), target


def test_python_example_runs():
  code = README.partition("```python\n")[2].partition("```")[0]
  # The same lines on a model that compiles in a second.
  scope = {}
  exec(code.replace("hornet_tiny_gf", "hornet_nano_gf").replace("224", "32"), scope)
  assert scope["logits"].shape == (1, 10)
  assert [features.shape[-1] for features in scope["maps"]] == scope["backbone"].channels
  assert scope["params"]["head"]["kernel"].shape == (16, 5)
