"""``freight top`` on the command line. The modules that read and draw are imported when it runs."""

from __future__ import annotations

from pathlib import Path

import click

from freight.errors import ConfigurationError
from freight.units import format_seconds, parse_seconds

FAILED = 1
_INTERVALS = (0.1, 3600.0)  # seconds


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    short_help="Watch a running server in a terminal.",
    epilog="""\b
Examples:
  freight top                              a server on this host's port 8080
  freight top 9443 --interval 5s           its admin listener is at port 9443
  freight top http://10.0.0.5:9080/ --admin-token-file token
  freight top unix:/run/freight-admin.sock
  freight top --once | grep stalled

\b
Keys:
  q                  quit
  ?                  what keys and columns mean
  arrows PgUp PgDn   scroll; Tab: scroll the waiting requests
  a r p e s c t      sort downloads by age, rate, progress, eta, state, client,
                     target; the key again reverses the order""",
)
@click.argument("address_text", required=False, default="9080", metavar="[URL|HOST:PORT|PORT|unix:PATH]")
@click.option("--interval", metavar="TIME", default="1s", show_default=True, help="Time between two updates.")
@click.option("--once", is_flag=True, help="Print one snapshot with all downloads, and exit. Works in pipes.")
@click.option(
    "--admin-token-file",
    "token_file",
    metavar="FILE",
    envvar="FREIGHT_ADMIN_TOKEN_FILE",
    type=click.Path(path_type=Path),
    help="The file with the secret of the admin listener, if it has one.",
)
def top(address_text: str, interval: str, once: bool, token_file: Path | None) -> int | None:
    """Watch a running server: memory and budget, slots, each running download, and why requests wait.

    URL, HOST:PORT, PORT or unix:PATH is the address of its admin listener, which "freight serve" prints when it
    starts. If the server does not answer, freight tries again until it does. Each update costs the server one response.
    """
    from freight.tools.top.fetch import Unreachable, parse_admin_address
    from freight.tools.top.terminal import show_once, watch

    try:
        address = parse_admin_address(address_text)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    seconds, token = _interval(interval), _token(token_file)
    if not once:
        watch(address, seconds, token)
        return None
    try:
        show_once(address, token)
    except Unreachable as error:
        click.echo(f"freight: {address}: {error}; is a server running with this --admin address?", err=True)
        return FAILED
    return None


def _token(file: Path | None) -> str:
    if file is None:
        return ""
    from freight.observe.admin_token import read_token

    try:
        return read_token(file).decode("ascii")
    except ConfigurationError as error:
        raise ConfigurationError(f"--admin-token-file: {error.why}") from None


def _interval(text: str) -> float:
    try:
        seconds = parse_seconds(text)
    except ValueError as error:
        raise ConfigurationError(f"--interval: {error}") from None
    low, high = _INTERVALS
    if not low <= seconds <= high:
        raise ConfigurationError(f"--interval: must be from {format_seconds(low)} to {format_seconds(high)}")
    return seconds
