"""README and docs tell the truth where a machine can see it."""

import argparse
import importlib
import pathlib
import re
import shlex

import pytest
from model_counts import OURS, PUBLISHED

from hornet_jax import create_model, list_models
from hornet_jax.cli.main import COMMANDS
from hornet_jax.config.files import find_config
from hornet_jax.config.schema import SCHEMA
from hornet_jax.cost import stage_costs
from hornet_jax.models import VARIANTS

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [
  *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
  *sorted((ROOT / "docs").glob("*.md")),
  *sorted((ROOT / "experiments").glob("*/README.md")),
]
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def without_code(text):
  return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def code_blocks(page, language=""):
  """The blocks of commands of a page, or those of a language; continued lines are joined."""
  fenced = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
  return [block.replace("\\\n", " ") for name, block in fenced if name == language]


def anchors(page):
  """The names that GitHub gives to the headings of a page."""
  headings = re.findall(r"^#+ (.*)$", without_code(page.read_text()), re.MULTILINE)
  texts = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
  return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts}


@pages
def test_links_lead_somewhere(page):
  for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", without_code(page.read_text())):
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    assert file.exists(), target
    assert file.is_relative_to(ROOT), target
    if anchor:
      assert anchor in anchors(file), target


def test_readme_leads_to_every_page():
  assert set(re.findall(r"\]\((docs/\w+\.md)\)", README)) == {
    str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md")
  }


@pages
def test_tests_that_are_named_exist(page):
  sources = {path: path.read_text() for path in (ROOT / "tests").glob("*.py")}
  text = page.read_text()
  for name in set(re.findall(r"\b(?:tests/)?(test_\w+\.py)\b", text)):
    assert ROOT / "tests" / name in sources, name
  for name in set(re.findall(r"`(test_\w+)`", text)):
    assert any(f"def {name}(" in source for source in sources.values()), name


def options(parser):
  """Option strings of a parser and of the parsers of its subcommands."""
  found = set(parser._option_string_actions)
  for action in parser._actions:
    if isinstance(action, argparse._SubParsersAction):
      found.update(*map(options, action.choices.values()))
  return found


@pytest.fixture(scope="module")
def known_options():
  """Command -> its options; keys of the config among them where it takes a config."""
  keys = {f"--config.{key}" for key in SCHEMA}
  found = {}
  for name in COMMANDS:
    module = importlib.import_module(f"hornet_jax.cli.{name}")
    parser = argparse.ArgumentParser(add_help=not hasattr(module, "OWN_HELP"))
    module.add_arguments(parser)
    found[name] = options(parser) | {"--imports"}  # of all of them
    if "--config" in found[name]:
      found[name] |= keys
    elif parser.get_default("takes_test_settings"):
      found[name] |= {f"--config.{key}" for key, one in SCHEMA.items() if one.of_test}
  return found


COMMAND = re.compile(r"(?:^|\s)(?:\./hornet|hornet|python -m hornet_jax) ([a-z]+)\b(.*)")


@pages
def test_commands_and_their_options_exist(page, known_options):
  for line in "".join(code_blocks(page)).splitlines():
    match = COMMAND.search(line)
    if not match or match[1] == "test":
      continue
    command, rest = match.groups()
    assert command in COMMANDS, line
    for word in shlex.split(rest, comments=True):
      option, _, value = word.partition("=")
      if option.startswith("--"):
        assert option in known_options[command], line
      if option == "--config" and value not in ("CONFIG", "NAME"):
        find_config(value.partition(":")[0])


def test_readme_and_docs_show_every_command():
  blocks = [block for page in PAGES for block in code_blocks(page)]
  shown = {COMMAND.search(line)[1] for line in "".join(blocks).splitlines() if COMMAND.search(line)}
  assert shown - {"test"} == set(COMMANDS) - {"doctor"}  # which the text tells of


def table_of_variants(text):
  """Name -> (is ours, parameters, MACs, image size) of every model in the tables of a page."""
  rows = {}
  for line in text.splitlines():
    match = re.match(r"\| (\w+_\w+)( \(ours\))? \| ([\d,]+) \| ([\d,]+) \| (\d+) \|", line)
    if match:
      name, ours, *numbers = match.groups()
      assert name not in rows, f"{name} twice"
      rows[name] = (bool(ours), *(int(number.replace(",", "")) for number in numbers))
  return rows


def test_every_model_has_a_row_in_one_of_two_tables():
  of_hornet = list_models("hornet_*")
  assert list(table_of_variants(README)) == of_hornet
  others = table_of_variants((ROOT / "docs" / "comparisons.md").read_text())
  assert list(others) == [name for name in VARIANTS if name not in of_hornet]


def test_rows_of_models_are_what_is_counted():
  """The counts themselves are held against the models in test_count.py."""
  counts = PUBLISHED | OURS
  rows = table_of_variants(README + (ROOT / "docs" / "comparisons.md").read_text())
  for name, (ours, *numbers, image_size) in rows.items():
    assert (ours, image_size) == (VARIANTS[name].origin == "ours", VARIANTS[name].image_size)
    if name in counts:
      assert tuple(numbers) == counts[name], name
  assert set(VARIANTS) - set(counts) == {n for n in list_models("hornet_*") if not rows[n][0]}


@pytest.mark.slow
def test_rows_of_the_papers_models_are_what_is_counted():
  for name, row in table_of_variants(README).items():
    costs = stage_costs(create_model(name), VARIANTS[name].image_size)
    assert row[1:3] == (sum(c.params for c in costs), sum(c.macs for c in costs)), name


def test_layout_exists_and_is_whole():
  text = (ROOT / "CONTRIBUTING.md").read_text()
  layout = text.partition("## Layout")[2].partition("```\n")[2].partition("```")[0]
  rooms = set()
  for line in layout.splitlines():
    name = line.split()[0]
    inside = line.startswith("  ")
    assert ((ROOT / "hornet_jax" if inside else ROOT) / name).exists(), name
    rooms |= {name.removesuffix("/")} if inside else set()
  assert rooms == {path.parent.name for path in (ROOT / "hornet_jax").glob("*/__init__.py")}


def test_python_of_readme_and_use_runs():
  """The same lines on a model that compiles in a second."""
  scope = {}
  [of_readme] = code_blocks(ROOT / "README.md", "python")
  assert len([*filter(None, of_readme.splitlines())]) == 5
  [of_use] = code_blocks(ROOT / "docs" / "use.md", "python")
  for code in (of_readme, of_use):
    exec(code.replace("hornet_tiny_gf", "hornet_nano_gf").replace("224", "32"), scope)
  assert scope["logits"].shape == (1, 10)
  assert [features.shape[-1] for features in scope["maps"]] == scope["backbone"].channels
  assert scope["params"]["head"]["kernel"].shape == (16, 5)
