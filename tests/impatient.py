"""Runs a command of freight whose supervisor starts a worker at once, however soon the one before it has died.

usage: impatient.py PYTHON -m freight ARGUMENT...
"""

import runpy
import sys

from freight.workers import supervisor

supervisor._BACK_OFF_SECONDS = 0.0
del sys.argv[:3]
runpy.run_module("freight", run_name="__main__", alter_sys=True)
