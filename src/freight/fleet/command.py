"""``freight fleet`` on the command line: a group; what a command of it needs is loaded when it runs."""

from __future__ import annotations

import click

from freight.fleet.simulate.command import simulate


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    short_help="Plan for many nodes behind a balancer.",
    epilog="""\b
Examples:
  freight fleet simulate --nodes 1,10,100             what more nodes are good for
  freight fleet simulate --policy bounded,least --json""",
)
def fleet() -> None:
    """Plan for many nodes behind a balancer.

    "freight fleet COMMAND --help" explains a command.
    """


fleet.add_command(simulate)
