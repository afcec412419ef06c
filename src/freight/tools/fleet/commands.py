"""The commands of ``freight fleet``, by name."""

from __future__ import annotations

from freight.tools.fleet.configure import configure
from freight.tools.fleet.engines import ENGINES
from freight.tools.fleet.simulate.command import simulate

COMMANDS = {command.name: command for command in (*map(configure, ENGINES), simulate)}
