"""``freight lab``. Nothing of the laboratory is imported before it is asked for."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from freight.errors import Unservable

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from freight.lab.scenarios import Scenario

DONE, UNFINISHED = 0, 1
_SIGNALLED = 128


def _names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    from freight.lab.scenarios import SCENARIOS

    return [CompletionItem(row.name, help=row.title) for row in SCENARIOS if row.name.startswith(incomplete)]


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    short_help="Measure on this machine what a download costs, and draw it.",
    epilog="""\b
Examples:
  freight lab --quick                              then open freight-lab/report.html
  freight lab --scenario stalled --scenario crowd  these two, thoroughly
  freight lab --against nginx,go                   beside servers that are installed""",
)
@click.option("--quick", is_flag=True, help="Fewer cases and shorter times: less than a minute on two cores.")
@click.option(
    "--out", metavar="DIR", default="freight-lab", show_default=True, type=click.Path(), help="Where the report goes."
)
@click.option(
    *("--scenario", "scenarios"),
    metavar="NAME",
    multiple=True,
    shell_complete=_names,
    help="Only this one, see --list; may be repeated.",
)
@click.option("--against", metavar="NAMES", default="", help="Measure these beside it: nginx, caddy, go; by commas.")
@click.option("--list", "listed", is_flag=True, help="Say which scenarios there are, and measure nothing.")
def lab(quick: bool, out: str, scenarios: Sequence[str], against: str, listed: bool) -> int:
    """Measure on this machine what a download costs, and draw it.

    Servers are started as processes of their own and loaded over the loopback by a crowd of clients; their memory, what
    the kernel holds for them, and their CPU time are read from outside. The report is a folder: report.html, which
    needs no network, results.json with every sample, and a figure each as SVG. All that was started is ended.

    It draws with matplotlib: pip install "freight[lab]".
    """
    from importlib.util import find_spec

    from freight.lab.scenarios import BY_NAME, SCENARIOS
    from freight.lab.servers import PEERS

    if listed:
        click.echo("\n".join(f"{row.name:12}{row.question}" for row in SCENARIOS))
        return DONE
    peers = [name.strip() for name in against.split(",") if name.strip()]
    for kind, given, known in (("scenario", scenarios, list(BY_NAME)), ("against", peers, list(PEERS))):
        if wrong := [name for name in given if name not in known]:
            raise Unservable(f"{kind}: there is no {wrong[0]!r}; there are {', '.join(known)}")
    if find_spec("matplotlib") is None:
        raise Unservable(
            'the lab draws with matplotlib, which is not installed: pip install "freight[lab]", or ./scripts/setup lab'
        )
    return _run(out, [name for name in BY_NAME if name in scenarios or not scenarios], peers, quick)


def _run(out: str, names: Sequence[str], peers: Sequence[str], quick: bool) -> int:
    from freight.lab import laboratory
    from freight.lab.scenarios import BY_NAME
    from freight.lab.servers import PEERS

    signal.signal(signal.SIGTERM, _end)  # by default it would end us without a chance to end what we started
    folder = Path(out)
    laboratory.prepare(folder)
    rows = [BY_NAME[name] for name in names]
    with _Bar(rows, quick) as bar:
        results = laboratory.run(names, [PEERS[name] for name in dict.fromkeys(peers)], quick=quick, tell=bar.tell)
        report = laboratory.write(results, folder)
    return conclude(results["scenarios"], report)


def conclude(records: Mapping[str, Mapping[str, Any]], report: Path) -> int:
    """Say what came of it: 0, or 1 where a server leaks or a scenario was not measured."""
    from freight.lab.words import sentences

    status = DONE
    for name, record in records.items():
        if "skipped" in record:
            click.echo(f"{name:12}skipped: {record['skipped']}")
        else:
            said = " ".join(sentences(name, record))
            click.echo(click.wrap_text(f"{name:12}{said}", 100, "", " " * 12))
    left_out = {what: why for record in records.values() for what, why in dict(record.get("left_out", {})).items()}
    for what, why in left_out.items():
        click.echo(f"left out    {what}: {why}")
    summary = records.get("memory", {}).get("summary")
    if summary and not summary["returned"]:
        status = UNFINISHED
    click.echo(f"{report}")
    return status


class _Bar:
    """A progress bar on a terminal; elsewhere a line when a scenario begins."""

    def __init__(self, rows: Sequence[Scenario], quick: bool) -> None:
        self._estimates = {row.name: row.quick_seconds if quick else row.full_seconds for row in rows}
        self._now = ""
        self._done = self._shown = 0.0
        length = int(sum(self._estimates.values()) * 10)
        self._bar = (
            click.progressbar(length=length, file=sys.stderr, item_show_func=str) if sys.stderr.isatty() else None
        )

    def __enter__(self) -> _Bar:
        if self._bar:
            self._bar.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.update(int((sum(self._estimates.values()) - self._shown) * 10), "")
            self._bar.__exit__(None, None, None)

    def tell(self, scenario: Scenario, seconds: float) -> None:
        """This scenario has run for so many seconds; one that takes longer than it should waits at its end."""
        if scenario.name != self._now:
            self._done += self._estimates.get(self._now, 0.0)
            self._now = scenario.name
            if self._bar is None:
                click.echo(f"freight: {scenario.name}: {scenario.title}", err=True)
        there = self._done + min(seconds, self._estimates[scenario.name])
        if self._bar and there - self._shown >= 0.1:
            self._bar.update(int(there * 10) - int(self._shown * 10), scenario.name)
            self._shown = there


def _end(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(_SIGNALLED + number)
