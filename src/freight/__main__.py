"""Run the command line: ``python -m freight``."""

import sys

from freight.cli.main import main

sys.exit(main())
