"""`configs`: the configs that are shipped."""

import argparse

from tabulate import tabulate

from hornet_jax.config.files import shipped_configs, summary


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds no argument."""


def run(args: argparse.Namespace) -> int:
  rows = [[name, summary(path)] for name, path in shipped_configs().items()]
  print(tabulate(rows, tablefmt="plain"))
  return 0
