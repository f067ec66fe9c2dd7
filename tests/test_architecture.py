"""Who may import whom, and what every file must say."""

import ast
import graphlib
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "hornet_jax"
# Part of the package -> the parts that it may import; beside `errors` and, where not `PURE`,
# `paths`.
ALLOWED = {
  "errors": set(),
  "paths": set(),
  "ops": set(),
  "models": {"ops"},
  "convert": {"models"},
  "cost": {"models", "train"},
  "data": set(),
  "versions": set(),
  "train": {"convert", "cost", "data", "models", "report", "versions"},
  "report": {"cost", "models"},
  "bench": {"cost", "data", "models", "ops", "train", "versions"},
  "suite": {"data", "train"},
  "cli": {"bench", "convert", "cost", "data", "models", "suite", "train", "versions"},
}
PURE = {"ops", "models"}
PURE_LIBRARIES = {"jax", "flax", "jaxtyping", "numpy"}
TENSORFLOW = {"apache_beam", "tensorflow", "tensorflow_datasets"}


def imports(path):
  """(dotted name, is at the top of the module) of every import of a file."""
  tree = ast.parse(path.read_text())
  for node in ast.walk(tree):
    top = node in tree.body
    if isinstance(node, ast.Import):
      yield from ((alias.name, top) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f"{path}: relative import"
      yield node.module, top


def part_of(module):
  pieces = module.split(".")
  return pieces[1] if pieces[0] == "hornet_jax" and len(pieces) > 1 else None


def files(folder=PACKAGE):
  return sorted(folder.rglob("*.py"))


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports(path):
  part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
  for module, top in imports(path):
    target = part_of(module)
    shared = {"errors"} if part in PURE else {"errors", "paths"}
    if part in ALLOWED and target not in {None, part, *shared}:
      assert target in ALLOWED[part], f"{part} imports {module}"
    root = module.split(".")[0]
    if part in PURE and target is None:
      assert root in PURE_LIBRARIES or root in sys.stdlib_module_names, f"{part} imports {module}"
    if root in TENSORFLOW:
      assert part in ("bench", "data"), f"{part} imports {module}"
      assert not top or "builders" in path.parts, f"{module} imported when the package is"
    if root == "ml_collections":
      assert part == "cli", "only the command line sees a ConfigDict"


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_paths_are_made_absolute_in_one_place(path):
  """The `resolve` of etils takes a bucket for a folder here; see `paths.absolute`."""
  calls = [n.attr for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)]
  assert path.name == "paths.py" or not {"resolve", "absolute"} & set(calls)


def test_no_module_imports_itself_by_way_of_others():
  """Parts may import each other (`train` the peaks of `cost`); modules may not go in circles."""
  names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files()}
  names = {name.removesuffix(".__init__"): path for name, path in names.items()}

  def needs(name):
    for module, top in imports(names[name]):
      packages = [module.rsplit(".", i)[0] for i in range(module.count(".") + 1)]
      yield from (p for p in packages if top and p in names and not f"{name}.".startswith(f"{p}."))

  try:
    graphlib.TopologicalSorter({name: set(needs(name)) for name in names}).prepare()
  except graphlib.CycleError as error:
    pytest.fail(" imports ".join(reversed(error.args[1])))


def test_every_part_is_listed():
  parts = {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()}
  modules = {p.stem for p in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
  assert parts | modules == set(ALLOWED)


def test_configs_import_common_only():
  for path in files(ROOT / "configs"):
    roots = {module.split(".")[0] for module, _ in imports(path)}
    assert roots - sys.stdlib_module_names <= {"configs", "ml_collections"}, path


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_public_names_have_docstrings(path):
  tree = ast.parse(path.read_text())
  assert ast.get_docstring(tree), f"{path} says nothing of itself"
  if "cli" in path.parts:
    return  # `add_arguments` and `run` of each command
  for node in tree.body:
    if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
      assert ast.get_docstring(node) or node.name == "Builder", f"{path}: {node.name}"


def test_importing_the_package_leaves_tensorflow_out():
  code = "import sys, hornet_jax, hornet_jax.cli.train; print('tensorflow' in sys.modules)"
  child = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
  assert child.stdout.strip() == b"False"


def test_importing_the_command_line_leaves_logging_alone():
  """Else the libraries' format stands before every line."""
  code = "import logging, hornet_jax.cli.main; assert not logging.getLogger().handlers"
  subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
