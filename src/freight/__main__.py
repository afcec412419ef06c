"""``python -m freight``."""

import sys

from freight.cli import main

sys.exit(main())
