"""``freight fleet`` on the command line: a group; what a command of it needs is loaded when it runs."""

from __future__ import annotations

import click

from freight.fleet.simulate.command import simulate

_MISUSED = 2


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,  # so that the manual, not an error, answers a bare "freight fleet"
    short_help="Plan for many nodes behind a balancer.",
    epilog="""\b
Examples:
  freight fleet simulate --nodes 1,10,100             what more nodes are good for
  freight fleet simulate --policy bounded,least --json""",
)
@click.pass_context
def fleet(context: click.Context) -> None:
    """Plan for many nodes behind a balancer.

    "freight fleet COMMAND --help" explains a command.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(_MISUSED)


fleet.add_command(simulate)
