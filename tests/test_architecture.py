"""Who may import whom, and what every file must say."""

import ast
import graphlib
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "hornet_jax"
# The modules by which the rest of the package knows every task.
TASK_FACE = (
  *("train.metric", "train.presentation", "train.ranking", "train.shown_task", "train.task"),
)
# Part of the package -> the parts that it may import; beside `errors` and, where not `PURE`,
# `SHARED`. A module of a part that other parts may import without the rest is a part of its own.
ALLOWED = {
  "errors": set(),
  "exit_status": set(),
  "extras": set(),
  "file_kind": set(),
  "files": set(),
  "lock": set(),
  "paths": set(),
  "versions": set(),
  "wording": set(),
  "ops": set(),
  "models": {"ops"},
  "convert": {"dense", "models"},
  "data": set(),
  "parallel": {"models"},
  "checkpoints": {"models", "parallel"},
  "train.presentation": set(),
  "train.metric": set(),
  "train.ranking": {"train.task"},
  "train.shown_task": {"data", "train.metric", "train.presentation"},
  "train.task": {"data", "models", "train.metric", "train.shown_task"},
  "train.task_registry": {"train.task"},
  "tasks": {
    *("config", "data", "dense", "models", "ops", "report"),
    *(*TASK_FACE, "train.task_registry"),
  },
  "config": {"data", "models", "parallel"},
  "runs": {"config", "data", "parallel"},
  "pretrained": {
    "checkpoints",
    "config",
    "convert",
    "data",
    "models",
    "runs",
    "tasks",
    *TASK_FACE,
  },
  "dense": {"models", "ops"},
  "cost.operations": set(),
  "cost.count": {"cost.operations"},
  "cost.model_work": {"cost.count", "cost.operations"},
  "cost.hardware": set(),
  "cost": {
    *("config", "cost.count", "cost.hardware", "cost.model_work", "cost.operations", "models"),
    *("parallel", "tasks", "train"),
  },
  "laws": set(),
  "report": {"cost.model_work", "models", *TASK_FACE},
  "train": {
    *("checkpoints", "config", "cost.count", "cost.hardware", "cost.model_work", "data", "models"),
    "parallel",
    *("pretrained", "report", "runs", "tasks", "versions"),
    *(*TASK_FACE, "train.task_registry"),
  },
  "suite": {"data", "models", "parallel", "pretrained", "tasks", "train", *TASK_FACE},
  "studies": {
    *("config", "cost", "cost.model_work", "cost.hardware", "data", "models", "runs", "tasks"),
    *TASK_FACE,
  },
  "sweeps": {
    *("checkpoints", "config", "data", "runs", "studies"),
  },
  "bench": {
    *("config", "cost", "cost.model_work", "cost.hardware", "data", "laws", "models", "ops"),
    *("parallel", "tasks", "train", "versions"),
  },
  "cli": {
    *("bench", "checkpoints", "config", "convert", "cost", "cost.count", "cost.hardware"),
    *("cost.model_work", "data"),
    *(
      "laws",
      "models",
      "parallel",
      "pretrained",
      "report",
      "runs",
      "studies",
      "suite",
      "sweeps",
      "tasks",
      "train",
      *TASK_FACE,
      "versions",
    ),
  },
}
SHARED = {"errors", "exit_status", "extras", "file_kind", "files", "lock", "paths", "wording"}
PURE = {"dense", "ops", "models"}
# The modules of `models` by which the rest of the package knows every model.
FACE = {"", ".api", ".apply", ".execution", ".param_info", ".parallel", ".stacking"}
KNOWS_ARCHITECTURES = {"__init__", "bench", "convert", "dense", "models"}
# Rooms of `data` -> the others that they may import; "" is what reads prepared datasets.
DATA_ROOMS = {
  "pixels": set(),
  "views": {"", "pixels"},
  "": {"pixels", "preparing", "views"},
  "preparing": {"", "pixels", "views"},
}
PURE_LIBRARIES = {"jax", "flax", "jaxtyping", "numpy"}
PREPOSITIONS = {"as", "by", "for", "from", "in", "of", "on", "over", "to", "with"}
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
  root, *pieces = module.split(".")
  if root != "hornet_jax" or not pieces:
    return None
  longer = ".".join(pieces[:2])
  return longer if longer in ALLOWED else pieces[0]


def files(folder=PACKAGE):
  return sorted(folder.rglob("*.py"))


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports(path):
  part = part_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
  for module, top in imports(path):
    target = part_of(module)
    shared = {"errors"} if part in PURE else SHARED
    if part in ALLOWED and target not in {None, part, *shared}:
      assert target in ALLOWED[part], f"{part} imports {module}"
    root = module.split(".")[0]
    if part in PURE and target is None:
      assert root in PURE_LIBRARIES or root in sys.stdlib_module_names, f"{part} imports {module}"
    if root in TENSORFLOW:
      assert part in ("bench", "data"), f"{part} imports {module}"
      assert not top or "builders" in path.parts, f"{module} imported when the package is"
    if root == "ml_collections":
      assert part in ("cli", "config"), "only they see a ConfigDict"


def data_room(module):
  """The room of `data` that a module is in; None outside."""
  name = module.removeprefix("hornet_jax.data").lstrip(".").split(".")[0]
  if not module.startswith("hornet_jax.data"):
    return None
  return name if name in DATA_ROOMS else ""


@pytest.mark.parametrize("path", files(PACKAGE / "data"), ids=lambda p: str(p.relative_to(ROOT)))
def test_rooms_of_data(path):
  room = data_room(".".join(path.relative_to(ROOT).with_suffix("").parts))
  for module, _ in imports(path):
    target = data_room(module)
    assert target in {None, room, *DATA_ROOMS[room]}, f"{room or 'data'} imports {module}"
    # The catalogue alone knows what can be prepared.
    if room == "" and target == "preparing":
      assert path.name == "catalogue.py", f"{path.name} imports {module}"


def room_of(path):
  return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize(
  "path",
  [path for path in files() if room_of(path) not in KNOWS_ARCHITECTURES],
  ids=lambda p: str(p.relative_to(ROOT)),
)
def test_models_are_known_by_their_face(path):
  """So that another architecture is one file of `models`."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.ImportFrom) and node.module.startswith("hornet_jax.models"):
      assert node.module.removeprefix("hornet_jax.models") in FACE, node.module
      names = {alias.name for alias in node.names}
      assert not names & {"GnConv", "HorNet"}, f"{path} knows an architecture"
  found = re.search(r"convnext|swin|deit|\bvit\b", path.read_text(), re.IGNORECASE)
  assert not found, f"{path} names a family: {found}"


# What they do is the same for every task: what differs is asked of the task.
KNOW_NO_TASK = ("checkpoints", "cli", "cost", "parallel", "report", "runs", "sweeps", "train")
TASKS = {path.stem for path in (PACKAGE / "tasks").glob("*.py")} & {
  name.removeprefix("hornet_jax.tasks.")
  for name, _ in imports(PACKAGE / "tasks" / "__init__.py")
  if name.startswith("hornet_jax.tasks.")
}


def of_a_task(path):
  """What a file says of a task by its name: in its code, not in what it explains."""
  tree = ast.parse(path.read_text())
  explained = {
    id(node.value)
    for body in (getattr(node, "body", None) for node in ast.walk(tree))
    for node in (body if isinstance(body, list) else [])
    if isinstance(node, ast.Expr)
  }
  for node in ast.walk(tree):
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in explained:
      yield from (name for name in TASKS if name in node.value.lower())
    elif isinstance(node, ast.ImportFrom):
      words = [node.module, *(alias.name for alias in node.names)]
      yield from (name for name in TASKS for word in words if name in word.lower())
    elif isinstance(node, ast.Attribute | ast.Name):
      word = node.attr if isinstance(node, ast.Attribute) else node.id
      yield from (name for name in TASKS if name in word.lower())
    elif isinstance(node, ast.Compare):
      sides = [ast.unparse(side) for side in (node.left, *node.comparators)]
      yield from (side for side in sides if re.search(r"""\[["']task["']\]""", side))


@pytest.mark.parametrize(
  "path",
  [path for path in files() if room_of(path) in KNOW_NO_TASK],
  ids=lambda p: str(p.relative_to(ROOT)),
)
def test_no_branch_on_a_task(path):
  """So that another task is one file of `tasks`."""
  found = set(of_a_task(path))
  if path.relative_to(PACKAGE).as_posix() == "report/classification.py":
    found.discard("classification")  # a section of reports, which that task asks for
  assert not found, f"{path} knows a task: {', '.join(sorted(found))}"


@pytest.mark.parametrize(
  "code",
  [
    "def f(config):\n  return 1 if config['task'] == name else 2",
    "name = 'segmentation'",
    "width = config['segmentation']['channels']",
    "from hornet_jax.tasks import Segmentation",
    "from hornet_jax.tasks.classification import example_results",
    "found = tasks.Classification()",
  ],
)
def test_a_branch_on_a_task_is_found(code, tmp_path):
  path = tmp_path / "of_a_task.py"
  path.write_text('"""For segmentation, say."""\n' + code)
  assert list(of_a_task(path))
  path.write_text('"""For segmentation, say."""\ndef f():\n  """And classification."""\n')
  assert not list(of_a_task(path))


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_paths_are_made_absolute_in_one_place(path):
  """The `resolve` of etils takes a bucket for a folder here; see `paths.absolute`."""
  calls = [n.attr for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)]
  assert path.name == "paths.py" or not {"resolve", "absolute"} & set(calls)


def test_the_law_goes_in_no_circle():
  graphlib.TopologicalSorter(ALLOWED).prepare()


def test_no_module_imports_itself_by_way_of_others():
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
  inner = {name for name in ALLOWED if "." in name}
  assert all((PACKAGE / f"{name.replace('.', '/')}.py").exists() for name in inner)
  assert parts | modules == set(ALLOWED) - inner


def test_config_files_import_the_config_alone():
  for path in files(ROOT / "configs"):
    modules = {module for module, _ in imports(path)} - sys.stdlib_module_names
    assert modules == {"hornet_jax.config"}, path


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_public_names_have_docstrings(path):
  tree = ast.parse(path.read_text())
  assert ast.get_docstring(tree), f"{path} says nothing of itself"
  commands = {"add_arguments", "run"} if room_of(path) == "cli" else set()
  for node in tree.body:
    if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
      alike = node.name in {"Builder", *commands}
      assert ast.get_docstring(node) or alike, f"{path}: {node.name}"


def test_importing_the_package_leaves_tensorflow_out():
  code = "import sys, hornet_jax, hornet_jax.cli.train; print('tensorflow' in sys.modules)"
  child = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
  assert child.stdout.strip() == b"False"


def test_importing_the_command_line_leaves_logging_alone():
  """Else the libraries' format stands before every line."""
  code = "import logging, hornet_jax.cli.main; assert not logging.getLogger().handlers"
  subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_what_an_argument_is_begins_with_a_noun(path):
  """`path: of the file.` leaves to the reader what is meant."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
      lines = (ast.get_docstring(node) or "").splitlines()
      for line in lines:
        found = re.match(r"  (\w+): (\w+) ", line)
        assert not found or found[2] not in PREPOSITIONS, f"{path}, {node.name}: {line.strip()}"
