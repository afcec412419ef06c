"""``freight lab`` on the command line. The modules that measure and draw are imported when it runs."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from freight.errors import ConfigurationError
from freight.tools.signals import exit_by_signal

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from freight.tools.lab.scenarios import Scenario

DONE, UNFINISHED = 0, 1


def _names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    from freight.tools.lab.scenarios import SCENARIOS

    return [CompletionItem(row.name, help=row.title) for row in SCENARIOS if row.name.startswith(incomplete)]


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    short_help="Measure what downloads cost on this machine, and draw a report.",
    epilog="""\b
Examples:
  freight lab --quick                              then open freight-lab/report.html
  freight lab --scenario stalled --scenario crowd  only these two, with all cases
  freight lab --against nginx,go                   compare with servers that are installed""",
)
@click.option(
    "--quick", is_flag=True, help="Fewer cases and shorter times: about one minute instead of seven, on two cores."
)
@click.option(
    "--out", metavar="DIR", default="freight-lab", show_default=True, type=click.Path(), help="Folder for the report."
)
@click.option(
    *("--scenario", "scenarios"),
    metavar="NAME",
    multiple=True,
    shell_complete=_names,
    help="Run only this scenario (see --list). Can be repeated.",
)
@click.option(
    "--against", metavar="NAMES", default="", help="Also measure these servers: nginx, caddy, go (comma-separated)."
)
@click.option("--list", "listed", is_flag=True, help="List the scenarios and exit.")
def lab(quick: bool, out: str, scenarios: Sequence[str], against: str, listed: bool) -> int:
    """Measure what downloads cost on this machine, and draw a report.

    The lab starts each server as its own process and loads it with up to thousands of clients over the loopback. It
    reads from outside how much memory and CPU time the server and the kernel need. The scenario "path" is a download
    over a simulated long line. It needs root, and is skipped otherwise. The report is a folder: report.html, which
    needs no network, results.json with every sample, and each figure as SVG. The lab ends every process that it
    started.

    Run it on a quiet machine: if other programs use more than a tenth of the processors, the report says that its
    numbers cannot be trusted.

    It draws with matplotlib. If that is missing, the command says how to install it.
    """
    from freight.tools.extras import require
    from freight.tools.lab.scenarios import BY_NAME, SCENARIOS
    from freight.tools.lab.servers import PEERS

    peers = [name.strip() for name in against.split(",") if name.strip()]
    for kind, given, known in (("scenario", scenarios, list(BY_NAME)), ("against", peers, list(PEERS))):
        if wrong := [name for name in given if name not in known]:
            raise ConfigurationError(f"{kind}: there is no {wrong[0]!r}; there are {', '.join(known)}")
    if listed:
        click.echo("\n".join(f"{row.name:12}{row.question}" for row in SCENARIOS))
        return DONE
    require("matplotlib", "freight lab")
    return _run(out, [name for name in BY_NAME if name in scenarios or not scenarios], peers, quick)


def _run(out: str, names: Sequence[str], peers: Sequence[str], quick: bool) -> int:
    from freight.tools.lab import busy, load, runner
    from freight.tools.lab.scenarios import BY_NAME
    from freight.tools.lab.servers import PEERS
    from freight.tools.loadgen.gauge import machine

    signal.signal(signal.SIGTERM, exit_by_signal)  # the default handler would leave our servers running
    folder = Path(out)
    runner.prepare(folder)
    rows = [BY_NAME[name] for name in names]
    chosen = [PEERS[name] for name in dict.fromkeys(peers)]
    before = load.measure_now()
    if warning := busy.warning_now(int(str(machine()["cores"])), before):
        click.secho(f"freight: {warning}", err=True, fg="yellow")
    with _Bar(rows, quick) as bar:
        results = runner.run(names, chosen, before, quick=quick, on_progress=bar.update)
        report = runner.write(results, folder)
    return conclude(results, report)


def conclude(results: Mapping[str, Any], report: Path) -> int:
    """Print the verdicts. Return 0, or 1 if the server leaks."""
    from freight.tools.lab.format import NO_BREAK_SPACE
    from freight.tools.lab.report_text import remarks, verdict

    records: Mapping[str, Mapping[str, Any]] = results["scenarios"]
    status = DONE
    for name, record in records.items():
        if "skipped" in record:
            click.echo(f"{name:12}skipped: {record['skipped']}")
        else:
            # On a busy machine the last line warns once. The report warns at each scenario.
            said = " ".join([verdict(name, record), *([] if results.get("busy") else remarks(record))])
            click.echo(click.wrap_text(f"{name:12}{said}", 100, "", " " * 12).replace(NO_BREAK_SPACE, " "))
    left_out = {what: why for record in records.values() for what, why in dict(record.get("left_out", {})).items()}
    for what, why in left_out.items():
        click.echo(f"left out    {what}: {why}")
    summary = records.get("memory", {}).get("summary")
    if summary and not summary["returned"]:
        status = UNFINISHED
    if results.get("busy"):
        click.secho(results["busy"], fg="yellow", bold=True)
    click.echo(f"{report}")
    return status


class _Bar:
    """A progress bar on a terminal; elsewhere, a line for each scenario."""

    def __init__(self, rows: Sequence[Scenario], quick: bool) -> None:
        self._estimates = {row.name: row.quick_seconds if quick else row.full_seconds for row in rows}
        self._whole = sum(self._estimates.values())
        self._now = ""
        self._done = self._shown = 0.0
        many = f"{len(rows)} scenarios" if len(rows) > 1 else "1 scenario"
        click.echo(f"freight: {many}, {rough_time(self._whole)} on a quiet machine", err=True)
        self._bar = (
            click.progressbar(length=int(self._whole * 10), file=sys.stderr, item_show_func=str)
            if sys.stderr.isatty()
            else None
        )

    def __enter__(self) -> _Bar:
        if self._bar:
            self._bar.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.update(int((self._whole - self._shown) * 10), "")
            self._bar.__exit__(None, None, None)

    def update(self, scenario: Scenario, seconds: float) -> None:
        """Show that a scenario has run for this long. The bar stops at the scenario's estimate."""
        if scenario.name != self._now:
            self._done += self._estimates.get(self._now, 0.0)
            self._now = scenario.name
            if self._bar is None:
                left = rough_time(self._whole - self._done)
                click.echo(f"freight: {scenario.name}: {scenario.title} ({left} to go)", err=True)
        there = self._done + min(seconds, self._estimates[scenario.name])
        if self._bar and there - self._shown >= 0.1:
            self._bar.update(int(there * 10) - int(self._shown * 10), scenario.name)
            self._shown = there


def rough_time(seconds: float) -> str:
    """Return an estimate in words: ``about 5 s``, ``about 1 minute``, ``about 6 minutes``."""
    if seconds < 50:
        return f"about {max(5, round(seconds / 5) * 5)} s"
    minutes = round(seconds / 60)
    return f"about {minutes} minute{'s' if minutes > 1 else ''}"
