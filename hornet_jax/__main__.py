"""`python -m hornet_jax COMMAND`."""

import sys

from hornet_jax.cli.main import main

if __name__ == "__main__":  # and not in the processes that read data
  sys.exit(main())
