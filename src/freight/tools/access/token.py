"""``freight token`` on the command line. Its commands are imported when one of them, or the help, is used."""

from __future__ import annotations

import click

from freight.tools.groups import LazyGroup, show_help_if_bare


@click.group(
    cls=LazyGroup,
    commands="freight.tools.access.token_commands",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,  # so that a bare "freight token" prints the help instead of an error
    short_help="Make, list and revoke tokens.",
    epilog="""\b
Examples:
  freight token new tokens ci --expires 90d     prints the token, once
  freight token list tokens
  freight token revoke tokens ci
  freight serve /data --tokens tokens""",
)
@click.pass_context
def token(context: click.Context) -> None:
    """Make, list and revoke bearer tokens, for freight serve --tokens FILE.

    The file has only the hash of each token. A running server reads it again on SIGHUP.
    """
    show_help_if_bare(context)
