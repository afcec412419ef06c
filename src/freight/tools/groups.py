"""Groups of commands whose modules are imported only when one of the commands, or the help, is used.

A server keeps the whole command line in memory, so a command that it does not run must not cost memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import click

MISUSED = 2


class LazyGroup(click.Group):
    """A group whose commands, by name, are ``COMMANDS`` of the module named ``commands``."""

    def __init__(self, *arguments: object, commands: str, **settings: object) -> None:
        super().__init__(*arguments, **settings)  # type: ignore[arg-type]  # they are click's
        self._module = commands

    @property
    def _known(self) -> Mapping[str, click.Command]:
        found: Mapping[str, click.Command] = import_module(self._module).COMMANDS
        return found

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted(self._known)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        return self._known.get(name)


def show_help_if_bare(context: click.Context) -> None:
    """Print the help and exit with status 2 if a group is called without a command."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(MISUSED)
