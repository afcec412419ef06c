"""``freight fleet`` on the command line: a group; what a command of it needs is loaded when it runs."""

from __future__ import annotations

import click

from freight.fleet.configure import configure
from freight.fleet.engines import ENGINES


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    short_help="Plan for many nodes behind a balancer, and configure it.",
    epilog="""\b
Examples:
  freight fleet haproxy --nodes 10.0.0.5:8080,10.0.0.6:8080 -o /etc/haproxy/fleet.cfg""",
)
def fleet() -> None:
    """Plan for many nodes behind a balancer, and write its configuration.

    "freight fleet COMMAND --help" explains a command.
    """


for _engine in ENGINES:
    fleet.add_command(configure(_engine))
