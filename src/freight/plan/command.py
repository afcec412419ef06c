"""``freight plan`` on the command line. What reckons is loaded when it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import click

from freight.errors import Unservable
from freight.quantities import parse_rate, parse_seconds, parse_size

_T = TypeVar("_T")
_MANY = 1_000_000_000


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    short_help="Reckon how many clients a budget carries.",
    epilog="""\b
Examples:
  freight plan                                       what the default carries
  freight plan --memory 20MB,64MiB,1GiB              what these carry
  freight plan --clients 500 --rtt 40ms --rate 1Gbit/s
  freight plan --clients 100000 --memory 256MiB      how many nodes
  freight plan --memory 64MiB --mix tls=1            what it carries by HTTPS
  freight plan --clients 500 --json | jq '.rows[] | select(.asked).memory_bytes'""",
)
@click.option("--clients", multiple=True, metavar="N,...", help="How many download at once, on all nodes together.")
@click.option("--memory", multiple=True, metavar="SIZE,...", help="What one node is given by its --memory.")
@click.option("--rtt", metavar="TIME", help="How long a round trip to a client takes, such as 40ms.")
@click.option("--rate", metavar="RATE", help="What the link of one node carries, such as 1Gbit/s or 100MB/s.")
@click.option(
    "--mix",
    metavar="KIND=PART,...",
    default="clear=1",
    show_default=True,
    help="Which part of the connections is of which kind. Kinds are clear, HTTP/1 without TLS; tls; and h2 and h2c, "
    "connections of HTTP/2 with one download, over TLS and without.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object, in bytes and seconds.")
def plan(
    clients: Sequence[str], memory: Sequence[str], rtt: str | None, rate: str | None, mix: str, as_json: bool
) -> None:
    """Reckon how many clients a budget carries, or which budget so many clients need.

    With --clients: the least memory in which so many run at once. With --memory: how many clients that carries. With
    both: how many nodes it takes. With neither: what a server's default memory carries, on this host. Of one number
    alone the table has the neighbours too, and marks what was asked.

    Nothing is served. The figures come from the budget that "freight serve" itself runs with.
    """
    from freight.flow.limits import default_memory, largest_send_queue
    from freight.plan import reckon, show

    question = reckon.Question(
        clients=_several("--clients", clients, _count),
        memory_bytes=_several("--memory", memory, parse_size),
        largest_bytes=largest_send_queue(),
        mix=reckon.parse_mix(mix),
        rtt_seconds=None if rtt is None else _read("--rtt", rtt, parse_seconds),
        link_bytes_per_second=None if rate is None else _read("--rate", rate, parse_rate),
    )
    if not question.clients and not question.memory_bytes:
        question = reckon.with_memory(question, default_memory())
    rows = list(reckon.answer(question))
    click.echo((show.as_json if as_json else show.table)(question, rows))


def _several(option: str, texts: Sequence[str], read: Callable[[str], _T]) -> tuple[_T, ...]:
    """The values of an option that may be given again, and has commas between them."""
    return tuple(_read(option, word, read) for word in _words(texts))


def _words(texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        yield from text.split(",")


def _read(option: str, text: str, read: Callable[[str], _T]) -> _T:
    """One value, which must be more than nothing. Raises Unservable."""
    try:
        value = read(text)
    except ValueError as error:
        raise Unservable(f"{option}: {error}") from None
    if not value:
        raise Unservable(f"{option}: must be more than 0")
    return value


def _count(text: str) -> int:
    digits = text.strip()
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= len(str(_MANY)) and int(digits) <= _MANY):
        raise ValueError(f"{text!r} is not a number of clients; write 500, or 50,500,5000")
    return int(digits)
