"""``freight fleet simulate`` on the command line. The model is imported when it runs."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from freight.errors import ConfigurationError
from freight.units import format_size, parse_rate, parse_seconds, parse_size

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from freight.tools.fleet.simulate.query import SimulationQuery

_T = TypeVar("_T")
_NODES_MAX = 20_000
_COUNT_MAX = 10_000_000
_CHUNKS_PER_FILE_MAX = 1000  # of a file of mean size; each is an event
_CHUNKS_MAX = 5_000_000  # in all page caches; each takes 200 bytes here
_SPREAD_MAX = 5


def _policies(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    from freight.tools.fleet.simulate.policies import POLICIES

    return [CompletionItem(name) for name in POLICIES if name.startswith(incomplete)]


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    short_help="Predict how a fleet of any size behaves.",
    epilog="""\b
Examples:
  freight fleet simulate                                    1 to 1,000 nodes, all policies
  freight fleet simulate --nodes 8 --arrivals 2 --size 500MB --cache 64GiB --link 10Gbit/s
  freight fleet simulate --nodes 20 --memory 20MB --clients 2Mbit/s=9,100Mbit/s=1
  freight fleet simulate --nodes 1,10,100,1000,10000 --figure fleet.svg""",
)
@click.option(
    "--nodes", metavar="N,...", default="1,10,100,1000", show_default=True, help="Number of nodes; one row each."
)
@click.option(
    "--policy",
    metavar="NAME,...",
    default="round-robin,least,consistent,bounded",
    show_default=True,
    shell_complete=_policies,
    help="How the balancer picks a node: in rotation; the node with the fewest requests; the file's own node; the "
    "file's own node unless its load is 25% above the mean.",
)
@click.option("--files", metavar="N", default="10000", show_default=True, help="Number of files.")
@click.option("--size", metavar="SIZE", default="100MB", show_default=True, help="Average size of the requested files.")
@click.option(
    "--spread",
    metavar="SIGMA",
    default="1",
    show_default=True,
    help="How much sizes differ: the standard deviation of their logarithms. 0: all sizes are equal.",
)
@click.option(
    "--zipf",
    metavar="EXPONENT",
    default="0.9",
    show_default=True,
    help="Popularity: the file of rank R is requested 1/R**EXPONENT times as often as the first. 0: all equal.",
)
@click.option("--arrivals", metavar="N", help="Requests per second for each node.  [default: 0.7 of its link]")
@click.option(
    "--clients",
    metavar="RATE=PART,...",
    default="20Mbit/s=1,100Mbit/s=2,500Mbit/s=1",
    show_default=True,
    help="Speeds of clients, and the proportion of clients with each.",
)
@click.option("--memory", metavar="SIZE", default="64MiB", show_default=True, help="The --memory of each node.")
@click.option("--queue-size", metavar="N", default="1000", show_default=True, help="The --queue-size of each node.")
@click.option(
    "--queue-timeout", metavar="TIME", default="30s", show_default=True, help="The --queue-timeout of each node."
)
@click.option("--link", metavar="RATE", default="1Gbit/s", show_default=True, help="Speed of a node's network link.")
@click.option("--disk", metavar="RATE", default="200MB/s", show_default=True, help="Speed of a node's disk.")
@click.option("--cache", metavar="SIZE", default="8GiB", show_default=True, help="A node's page cache.")
@click.option(
    "--chunk", metavar="SIZE", default="64MiB", show_default=True, help="Size of the pieces that are read and cached."
)
@click.option("--requests", metavar="N", help="Requests to simulate in each row.  [default: 20000, or 100 per node]")
@click.option(
    "--seed",
    metavar="N,...",
    default="1",
    show_default=True,
    help="Seed of the random numbers, which makes a result repeatable. One row for each.",
)
@click.option("--figure", metavar="FILE.svg", type=click.Path(dir_okay=False), help="Also draw the rows to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object, in bytes and seconds.")
def simulate(figure: str | None, as_json: bool, **texts: Any) -> None:
    """Predict how a fleet of any size behaves: waits, rejections, page caches, balance.

    Requests arrive at random at one balancer; some files are more popular than others. Each node has slots, a queue, a
    network link, a disk and a page cache. The load grows with the number of nodes; the files do not change. The slots
    come from the memory budget that "freight serve" itself uses. No server is started.
    """
    from freight.tools.fleet.simulate import show
    from freight.tools.fleet.simulate.query import answer, node_spec, total_requests

    if figure is not None:
        _check_figure(figure)
    query = query_of(texts)
    node_spec(query)  # reports too little memory before the simulation starts
    with (
        click.progressbar(length=total_requests(query), label="simulating", file=sys.stderr)
        if sys.stderr.isatty()
        else nullcontext()
    ) as bar:
        rows = list(answer(query, (lambda _: None) if bar is None else bar.update))
    if figure is not None:
        from freight.tools.fleet.simulate.figure import draw

        Path(figure).write_text(draw(rows), encoding="utf-8")
    click.echo((show.as_json if as_json else show.table)(query, rows))


def _check_figure(figure: str) -> None:
    from freight.tools.extras import require

    if not figure.endswith(".svg"):
        raise ConfigurationError(f"--figure: {figure!r} does not end in .svg; only SVG is drawn")
    if not Path(figure).absolute().parent.is_dir():
        raise ConfigurationError(f"--figure: there is no directory {str(Path(figure).parent)!r}")
    require("matplotlib", "--figure")


def query_of(texts: dict[str, str | None]) -> SimulationQuery:
    """Read the texts of the options. Raises ConfigurationError, which names the invalid option."""
    from freight.memory.host_limits import largest_send_queue
    from freight.tools.fleet.simulate.arrivals import Catalogue
    from freight.tools.fleet.simulate.query import LOAD, SimulationQuery

    def read(name: str, parse: Callable[[str], _T], *, zero: bool = False) -> _T:
        return _read(f"--{name.replace('_', '-')}", texts[name] or "", parse, zero=zero)

    link, size = read("link", parse_rate), read("size", parse_size)
    chunk, spread = read("chunk", parse_size), read("spread", _number, zero=True)
    _require_chunk(chunk, size // _CHUNKS_PER_FILE_MAX, f"files of {format_size(size)}")
    if spread > _SPREAD_MAX:
        raise ConfigurationError(f"--spread: {spread:g} is too large; the most is {_SPREAD_MAX}")
    nodes = _each("--nodes", texts["nodes"] or "", lambda text: _count(text, _NODES_MAX))
    cache = read("cache", parse_size, zero=True)
    _require_chunk(chunk, max(nodes) * cache // _CHUNKS_MAX, "this much page cache")
    return SimulationQuery(
        nodes=nodes,
        policies=_each("--policy", texts["policy"] or "", _policy),
        catalogue=Catalogue(read("files", _count), size, spread, read("zipf", _number, zero=True)),
        clients=_each("--clients", texts["clients"] or "", _kind),
        arrivals=LOAD * link / size if texts["arrivals"] is None else read("arrivals", _number),
        memory_bytes=read("memory", parse_size),
        queue_size=read("queue_size", _count, zero=True),
        queue_timeout_seconds=read("queue_timeout", parse_seconds),
        link=link,
        disk=read("disk", parse_rate),
        cache_bytes=cache,
        chunk_bytes=chunk,
        requests=None if texts["requests"] is None else read("requests", _count),
        seeds=_each("--seed", texts["seed"] or "", _count, zero=True),
        largest_bytes=largest_send_queue(),
    )


def _require_chunk(chunk: int, least: int, what: str) -> None:
    if chunk < least:
        text = f"{format_size(chunk)} is too small for {what}; the least is {format_size(least)}"
        raise ConfigurationError(f"--chunk: {text}")


def _each(option: str, text: str, parse: Callable[[str], _T], *, zero: bool = False) -> Sequence[_T]:
    """Return the values in a text, separated by commas, without duplicates."""
    return tuple(dict.fromkeys(_read(option, word, parse, zero=zero) for word in text.split(",")))


def _read(option: str, text: str, parse: Callable[[str], _T], *, zero: bool = False) -> _T:
    try:
        value = parse(text)
    except ValueError as error:
        raise ConfigurationError(f"{option}: {error}") from None
    if not value and not zero:
        raise ConfigurationError(f"{option}: must be more than 0")
    return value


def _count(text: str, most: int = _COUNT_MAX) -> int:
    digits = text.strip()
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= len(str(most)) and int(digits) <= most):
        raise ValueError(f"{text!r} is not a number of at most {most:,}, such as 100")
    return int(digits)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:
        raise ValueError(f"{text!r} is not a number such as 0.9")
    return number


def _policy(text: str) -> str:
    from freight.tools.fleet.simulate.policies import POLICIES

    if text.strip() not in POLICIES:
        raise ValueError(f"there is no {text.strip()!r}; there are {', '.join(POLICIES)}")
    return text.strip()


def _kind(text: str) -> tuple[int, float]:
    rate_text, _, part_text = text.partition("=")
    rate, part = parse_rate(rate_text), _number(part_text or "1")
    if not rate or not part:
        raise ValueError(f"{text.strip()!r} must be more than 0")
    return rate, part
