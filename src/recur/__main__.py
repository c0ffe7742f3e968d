"""`python -m recur`."""

import sys

from recur.cli.main import main

sys.exit(main())
