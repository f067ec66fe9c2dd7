"""`python -m hornet_jax COMMAND`."""

import sys

from hornet_jax.cli.main import main

sys.exit(main())
