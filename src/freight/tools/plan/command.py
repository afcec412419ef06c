"""``freight plan`` on the command line. The calculation is imported when it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import click

from freight.errors import ConfigurationError
from freight.units import parse_rate, parse_seconds, parse_size

_T = TypeVar("_T")
_MANY = 1_000_000_000


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    short_help="Calculate how many clients fit in an amount of memory.",
    epilog="""\b
Examples:
  freight plan                                       clients that fit in the default memory
  freight plan 500                                   memory for 500 clients, like --clients 500
  freight plan --memory 20MB,64MiB,1GiB              clients that fit in each of these
  freight plan --clients 500 --rtt 40ms --rate 1Gbit/s
  freight plan --clients 100000 --memory 256MiB      number of nodes
  freight plan --memory 64MiB --mix tls=1            clients with HTTPS
  freight plan --clients 500 --json | jq '.rows[] | select(.asked).memory_bytes'""",
)
@click.argument("numbers", nargs=-1, metavar="[CLIENTS]...")
@click.option(
    "--clients", multiple=True, metavar="N,...", help="Concurrent downloads, on all nodes (servers) together."
)
@click.option("--memory", multiple=True, metavar="SIZE,...", help="The --memory of one node.")
@click.option("--rtt", metavar="TIME", help="Round-trip time to a client, such as 40ms.")
@click.option("--rate", metavar="RATE", help="Speed of one node's network link, such as 1Gbit/s or 100MB/s.")
@click.option(
    "--mix",
    metavar="KIND=PART,...",
    default="clear=1",
    show_default=True,
    help="Kinds of connections and their proportions: clear (HTTP/1.1 without TLS), tls (HTTP/1.1 with TLS), "
    "h2 and h2c (HTTP/2 with and without TLS, one download on each connection).",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object, in bytes and seconds.")
def plan(
    numbers: Sequence[str],
    clients: Sequence[str],
    memory: Sequence[str],
    rtt: str | None,
    rate: str | None,
    mix: str,
    as_json: bool,
) -> None:
    """Calculate how many clients fit in an amount of memory, or how much memory a number of clients needs.

    With --clients: the least memory in which that many downloads run concurrently. With --memory: how many downloads
    fit. With both: how many nodes are needed. With neither: how many downloads fit in a server's default memory on this
    host. A single number is shown beside half, twice and four times as much, and marked with ">".

    No server is started. The numbers come from the memory budget that "freight serve" itself uses.
    """
    from freight.memory.host_limits import default_memory, largest_send_queue
    from freight.tools.plan import capacity, show

    query = capacity.CapacityQuery(
        clients=(*_several("CLIENTS", numbers, _count), *_several("--clients", clients, _count)),
        memory_bytes=_several("--memory", memory, parse_size),
        largest_bytes=largest_send_queue(),
        mix=capacity.parse_mix(mix),
        rtt_seconds=None if rtt is None else _read("--rtt", rtt, parse_seconds),
        link_bytes_per_second=None if rate is None else _read("--rate", rate, parse_rate),
    )
    if not query.clients and not query.memory_bytes:
        query = capacity.with_memory(query, default_memory())
    rows = list(capacity.answer(query))
    click.echo((show.as_json if as_json else show.table)(query, rows))


def _several(option: str, texts: Sequence[str], read: Callable[[str], _T]) -> tuple[_T, ...]:
    """Return the values of an option that can be repeated, each with several values separated by commas."""
    return tuple(_read(option, word, read) for word in _words(texts))


def _words(texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        yield from text.split(",")


def _read(option: str, text: str, read: Callable[[str], _T]) -> _T:
    """Return one value, which must be more than 0. Raises ConfigurationError."""
    try:
        value = read(text)
    except ValueError as error:
        raise ConfigurationError(f"{option}: {error}") from None
    if not value:
        raise ConfigurationError(f"{option}: must be more than 0")
    return value


def _count(text: str) -> int:
    digits = text.strip()
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= len(str(_MANY)) and int(digits) <= _MANY):
        memory = _is_size(digits)
        instead = f"--memory {digits}, or a number such as 500" if memory else "500, or 50,500,5000"
        raise ValueError(f"{text!r} is not a number of clients; write {instead}")
    return int(digits)


def _is_size(text: str) -> bool:
    """Return whether it is a size with a unit, which the user meant for --memory."""
    try:
        return parse_size(text) > 0 and not text.isdecimal()
    except ValueError:
        return False
