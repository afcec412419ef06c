"""The commands of ``freight fleet``, by name."""

from __future__ import annotations

from freight.fleet.configure import configure
from freight.fleet.engines import ENGINES
from freight.fleet.simulate.command import simulate

COMMANDS = {command.name: command for command in (*map(configure, ENGINES), simulate)}
