"""This is where `python -m hornet_jax COMMAND` starts."""

import sys


def run() -> int:
  """Runs a command; the console script `hornet` starts here, too."""
  try:
    from hornet_jax.cli.main import main
    from hornet_jax.cli.quiet import silence_orbax
  except KeyboardInterrupt:  # importing takes seconds
    print("hornet: interrupted", file=sys.stderr)
    return 130
  silence_orbax()
  return main()


if __name__ == "__main__":  # and not in the processes that read data
  sys.exit(run())
