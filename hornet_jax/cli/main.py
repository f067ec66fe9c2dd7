"""The command line finds the command, runs it and turns bad input into one line."""

import argparse
import importlib
import io
import logging
import os
import sys
from collections.abc import Sequence

import hornet_jax
from hornet_jax.cli.arguments import Parser
from hornet_jax.cli.failure import explained, quiet_pipe, report
from hornet_jax.config.imports import import_modules
from hornet_jax.errors import InputError, unknown_name
from hornet_jax.exit_status import is_expected
from hornet_jax.paths import check_reachable, expanded

# Name -> module of this package with `add_arguments(parser)` and `run(args) -> int`, and
# `OWN_HELP` where the former adds `--help` too.
COMMANDS = {
  "train": "train a model, or go on where a run stopped",
  "evaluate": "accuracy of a trained run",
  "doctor": "check hosts, data and devices before a run",
  "predict": "what a trained run says of image files",
  "export": "write a trained run's weights to one file",
  "checkpoint": "list, verify, prune or export the checkpoints of a run",
  "configs": "list the configs that come with the program",
  "convert": "a published checkpoint to a file of ours",
  "info": "the variants; stages, parameters and MACs of one",
  "plan": "does a run fit a TPU, and what does it cost, before one is rented",
  "data": "look at the data as the model sees it",
  "prepare": "build a dataset's files",
  "study": "train designs against each other, and write the table",
  "sweep": "train a scaling study with many workers",
  "match": "change models in size until they cost the same",
  "mup": "do activations and learning rates stay as a model gets wider",
  "fit": "a scaling law to a table of runs, and how far to believe it",
  "bench": "time what is claimed to be fast",
}


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command line; returns the exit status.

  Args:
    argv: arguments without the program's name; None for those of this process.
  """
  for name in ("stdout", "stderr"):
    if getattr(sys, name) is None:  # closed before the start
      setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
  # A name that the terminal cannot show is spelt; it ends no command.
  for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, io.TextIOWrapper):
      stream.reconfigure(errors="backslashreplace")
  logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
  logging.getLogger("hornet_jax").setLevel(logging.INFO)
  # It logs a traceback for each try; what becomes of them is raised, and told in one line.
  logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
  _quieten_tpu_compiler()
  try:
    args = _parse(argv)
    for place in ("workdir", "branch_from", "data_dir", "out", "csv"):
      path = getattr(args, place, None) or ""
      check_reachable(path)
      if path.startswith("~"):  # a shell leaves it behind an equals sign
        setattr(args, place, os.fspath(expanded(path, f"--{place}")))
    _check_compiling()
    _keep_compiled()
    status = args.run(args)
    sys.stdout.flush()
    return status
  except BrokenPipeError:
    return quiet_pipe()
  except BaseException as error:
    told = explained(error)
    if not is_expected(told):
      raise
    return report(told)


def _quieten_tpu_compiler() -> None:
  """Keeps libtpu, which may be installed for `plan`, from complaining that there is no TPU."""
  if os.environ.get("TPU_SKIP_MDS_QUERY") == "1":  # as JAX sets it where it found no chip
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-1")


def _check_compiling() -> None:
  import jax  # late: see below

  if jax.config.jax_disable_jit:  # type: ignore[attr-defined]
    raise InputError(
      "JAX_DISABLE_JIT must be unset: every step is compiled before it runs. Hint: "
      "`jax.disable_jit()` around a call of the model, in Python, shows its values."
    )


def _keep_compiled() -> None:
  # Imported late: libraries that are imported before logging is set up set it up themselves.
  from hornet_jax.cli.compilation_cache import keep_compiled

  keep_compiled()


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
  """Parses the arguments; only the module of the command that is called is imported."""
  given = sys.argv[1:] if argv is None else argv
  called = next((word for word in given if not word.startswith("-")), None)
  if called is not None and called not in COMMANDS:
    raise unknown_name("command", called, COMMANDS)
  parser = Parser(prog="hornet", description="HorNet in JAX.", allow_abbrev=False)
  parser.add_argument("--version", action="version", version=hornet_jax.__version__)
  commands = parser.add_subparsers(metavar="COMMAND", required=True)
  for name, summary in COMMANDS.items():
    module = importlib.import_module(f"hornet_jax.cli.{name}") if name == called else None
    command = commands.add_parser(
      name,
      help=summary,
      description=summary,
      allow_abbrev=False,
      add_help=not getattr(module, "OWN_HELP", False),
    )
    if module:
      module.add_arguments(command)
      command.add_argument(
        "--imports",
        metavar="MODULE,...",
        help="Python modules to import first, which register models and tasks of your own",
      )
      command.set_defaults(run=module.run)
  # What argparse does not know is left to the command: overrides such as --config.seed=1.
  args, rest = parser.parse_known_args(given)
  if rest and not (hasattr(args, "config") or getattr(args, "takes_test_settings", False)):
    parser.error(f"unrecognized arguments: {' '.join(rest)}")
  args.overrides = rest
  if args.imports:
    modules = args.imports.split(",")
    import_modules(modules)
    if hasattr(args, "config"):
      args.overrides.append(f"--config.imports={tuple(modules)!r}")
  return args
