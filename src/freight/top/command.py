"""``freight top`` on the command line. What asks and draws is loaded when it is wanted."""

from __future__ import annotations

import click

from freight.errors import Unservable
from freight.quantities import format_seconds, parse_seconds

FAILED = 1
_INTERVALS = (0.1, 3600.0)  # seconds


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    short_help="Watch a running server in a terminal.",
    epilog="""\b
Examples:
  freight top                              a server on this host's port 8080
  freight top 9443 --interval 5s           its admin listener is at port 9443
  freight top http://10.0.0.5:9080/
  freight top --once | grep stalled

\b
Keys:
  q                  quit
  ?                  what keys and columns mean
  arrows PgUp PgDn   scroll; Tab: the waiting requests
  a r p e s c t      sort downloads by age, rate, progress, eta, state, client,
                     target; again: the other way round""",
)
@click.argument("place", required=False, default="9080", metavar="[URL|HOST:PORT|PORT]")
@click.option("--interval", metavar="TIME", default="1s", show_default=True, help="How long between two looks.")
@click.option("--once", is_flag=True, help="Print one look, of all downloads, and end; to a file or a pipe too.")
def top(place: str, interval: str, once: bool) -> int | None:
    """Watch a running server: memory against its budget, slots, each running download, and what waits and why.

    URL, HOST:PORT or PORT is where its admin listener is, as "freight serve" says when it starts. A server that goes
    away is asked again until it comes back. This is a process of its own, and costs the server an answer a look.
    """
    from freight.top.ask import Unseen, parse_place
    from freight.top.terminal import show_once, watch

    try:
        address = parse_place(place)
    except ValueError as error:
        raise Unservable(str(error)) from None
    seconds = _interval(interval)
    if not once:
        watch(address, seconds)
        return None
    try:
        show_once(address)
    except Unseen as error:
        click.echo(f"freight: {address}: {error}; is a server running, with its --admin there?", err=True)
        return FAILED
    return None


def _interval(text: str) -> float:
    try:
        seconds = parse_seconds(text)
    except ValueError as error:
        raise Unservable(f"--interval: {error}") from None
    low, high = _INTERVALS
    if not low <= seconds <= high:
        raise Unservable(f"--interval: must be from {format_seconds(low)} to {format_seconds(high)}")
    return seconds
