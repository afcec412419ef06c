"""Run a command of freight with a supervisor that replaces a dead worker without delay.

usage: fast_restarts.py PYTHON -m freight ARGUMENT...
"""

import runpy
import sys

from freight.workers import supervisor

supervisor._RESTART_DELAY_SECONDS = 0.0
del sys.argv[:3]
runpy.run_module("freight", run_name="__main__", alter_sys=True)
