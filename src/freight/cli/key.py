"""``freight key``: the keys that sign links."""

from __future__ import annotations

import time

import click

from freight.cli.output import CONTEXT, DONE, MISUSED


@click.group(context_settings=CONTEXT, invoke_without_command=True, short_help="Make keys that sign links.")
@click.pass_context
def key(context: click.Context) -> None:
    """Make keys that sign links (freight sign)."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(MISUSED)


@key.command(
    "new",
    context_settings=CONTEXT,
    short_help="Append a new key to a file.",
    epilog="""\b
Examples:
  freight key new /etc/freight/keys
  freight key new /etc/freight/keys 2026-q4""",
)
@click.argument("file", metavar="FILE", type=click.Path())
@click.argument("key_id", metavar="[ID]", default="")
def new(file: str, key_id: str) -> int:
    """Append a new key to FILE, which is made if it is missing, readable by its owner only.

    ID names the key in links, by default the time: 20261201-093000. The last key of the file signs, every key verifies.
    A running server reads the file again on SIGHUP.
    """
    from freight.access.keys import create

    name = key_id or time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    create(file, name)
    click.echo(f"{file}: new key {name}")
    return DONE
