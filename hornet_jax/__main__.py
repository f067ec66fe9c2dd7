"""`python -m hornet_jax COMMAND`."""

import sys

from hornet_jax.cli.main import main
from hornet_jax.cli.quiet import silence_orbax

if __name__ == "__main__":  # and not in the processes that read data
  silence_orbax()
  sys.exit(main())
