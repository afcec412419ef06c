"""``freight fleet`` on the command line: a group whose commands are imported when one of them runs."""

from __future__ import annotations

import click

from freight.tools.groups import LazyGroup, show_help_if_bare


@click.group(
    cls=LazyGroup,
    commands="freight.tools.fleet.commands",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,  # so that a bare "freight fleet" prints the help instead of an error
    short_help="Configure a load balancer for several servers, or simulate them.",
    epilog="""\b
Examples:
  freight fleet haproxy --nodes 10.0.0.5:8080,10.0.0.6:8080 -o /etc/haproxy/fleet.cfg
  freight fleet simulate --nodes 1,10,100             predict waits, rejections and cache hits
  freight fleet simulate --policy bounded,least --json""",
)
@click.pass_context
def fleet(context: click.Context) -> None:
    """Configure a load balancer for several freight servers ("nodes"), or simulate them.

    "freight fleet COMMAND --help" explains a command.
    """
    show_help_if_bare(context)
