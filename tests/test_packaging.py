"""What is installed by which name; `.ci/wheel` installs it and uses it."""

import importlib
import importlib.metadata
import itertools
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

import hornet_jax
from hornet_jax.cli.main import COMMANDS, main
from hornet_jax.data.imagenet_classes import synsets
from hornet_jax.extras import MODULES, missing_extra

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
NOT_IMPORTED = {"absl", "grain", "matplotlib", "ml_collections", "orbax", "sklearn"}
NOT_IMPORTED |= {"optuna", "sqlalchemy", "tensorboardX", "tensorflow", "tensorflow_datasets"}


def packages(requirements):
  """Names of packages, as an index spells them."""
  names = (re.match(r"[\w-]+", requirement)[0] for requirement in requirements)
  return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def python(code):
  """Runs code in a process of its own, which has imported nothing of ours yet."""
  return subprocess.run(
    [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
  )


def imported_by(code):
  """The packages that are imported once some code has run in a process of its own."""
  child = python(f"{code}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})")
  assert child.returncode == 0, child.stderr
  return set(child.stdout.split())


def test_requirements_are_those_of_the_package_and_its_extras():
  lines = (ROOT / "requirements.txt").read_text().splitlines()
  listed = [line.partition("#")[0].strip().replace('"', "'") for line in lines]
  extras = (EXTRAS[name] for name in ("train", "prepare", "studies", "dev"))
  stated = itertools.chain(PROJECT["dependencies"], *extras)
  assert set(filter(None, listed)) == {s for s in stated if not s.startswith("hornet_jax[")}


def test_what_a_hint_names_is_in_its_extra():
  distributions = importlib.metadata.packages_distributions()
  for extra, modules in MODULES.items():
    for module in modules:
      assert packages(distributions[module]) & packages(EXTRAS[extra]), module


def test_importing_the_package_is_light():
  assert not imported_by("import hornet_jax") & (NOT_IMPORTED - {"absl"})


def test_a_command_imports_what_it_needs():
  arguments = ["info", "hornet_nano_7x7"]
  code = f"from hornet_jax.cli.main import main; main({arguments})"
  assert not imported_by(code) & {"grain", "ml_collections", "tensorflow", "tensorflow_datasets"}


def test_a_missing_extra_is_one_line():
  child = python(
    "import sys; sys.modules['grain'] = None; "
    "from hornet_jax.cli.main import main; sys.exit(main(['data', 'show']))"
  )
  assert child.returncode == 2
  assert child.stderr == (
    "hornet: error: this needs grain, which is not installed. Hint: pip install "
    "'hornet_jax[train]'.\n"
  )


def test_missing_libraries_are_known_by_what_python_says():
  assert "'hornet_jax[prepare]'" in str(missing_extra("No module named 'tensorflow'"))
  assert "'hornet_jax[train]'" in str(missing_extra("No module named 'tensorflow_datasets.core'"))
  assert missing_extra("No module named 'tensorflow_text'") is None


def test_an_unknown_command_is_named(capfd):
  assert main(["evalute"]) == 2
  assert (
    "unknown command 'evalute': did you mean 'evaluate'? expected one of bench"
    in capfd.readouterr().err
  )


def test_the_console_script_is_there():
  module, _, function = PROJECT["scripts"]["hornet"].partition(":")
  assert callable(getattr(importlib.import_module(module), function))


def test_help_lists_every_command(capfd):
  with pytest.raises(SystemExit):
    main(["--help"])
  printed = capfd.readouterr().out
  assert all(re.search(rf"^ +{name}\b", printed, re.M) for name in COMMANDS)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ([], "arguments are required: COMMAND. Hint: hornet --help"),
    (["checkpoint"], "arguments are required: ACTION. Hint: hornet checkpoint --help"),
    (["checkpoint", "list"], "required: --workdir. Hint: hornet checkpoint list --help"),
    (["predict", "--top=none"], "argument --top: expected a whole number of at least 1"),
    (["bench", "step", "--rounds"], "--rounds: expected one argument. Hint: hornet bench step"),
    (["configs", "--none"], "unrecognized arguments: --none. Hint: hornet --help"),
  ],
)
def test_wrong_flags_are_one_line(arguments, message, capfd):
  """Of every command, and of its parts."""
  assert main(arguments) == 2
  printed = capfd.readouterr()
  assert printed.out == ""
  assert printed.err.startswith("hornet: error: ")
  assert message in printed.err
  assert printed.err.count("\n") == 1


def test_public_names_exist():
  assert all(hasattr(hornet_jax, name) for name in hornet_jax.__all__)


def test_synsets_are_those_of_tfds():
  folder = pathlib.Path(importlib.util.find_spec("tensorflow_datasets").origin).parent
  assert synsets() == (folder / "datasets" / "imagenet2012" / "labels.txt").read_text().split()
