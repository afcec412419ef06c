"""``freight fleet`` on the command line: a group; what a command of it needs is loaded when it runs."""

from __future__ import annotations

import click

from freight.fleet.configure import configure
from freight.fleet.engines import ENGINES
from freight.fleet.simulate.command import simulate

MISUSED = 2


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,  # so that the manual, not an error, answers a bare "freight fleet"
    short_help="Plan for many nodes behind a balancer, and configure it.",
    epilog="""\b
Examples:
  freight fleet haproxy --nodes 10.0.0.5:8080,10.0.0.6:8080 -o /etc/haproxy/fleet.cfg
  freight fleet simulate --nodes 1,10,100             what more nodes are good for
  freight fleet simulate --policy bounded,least --json""",
)
@click.pass_context
def fleet(context: click.Context) -> None:
    """Plan for many nodes behind a balancer, and write its configuration.

    "freight fleet COMMAND --help" explains a command.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(MISUSED)


for _engine in ENGINES:
    fleet.add_command(configure(_engine))
fleet.add_command(simulate)
