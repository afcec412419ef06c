"""Draw a view as lines of a terminal, each cut to its width: no line wraps, and no mark depends on color alone.

A few lines about the server come first. Two tables share the lines that are left (:mod:`freight.tools.top.tables`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os.path import basename

from rich.text import Text

from freight.tools.top.follow import View
from freight.tools.top.status import StatusSnapshot
from freight.tools.top.style import SORTS, Style, percent
from freight.tools.top.tables import divide, rows_within, tables
from freight.units import brief_rate, brief_seconds, brief_size

_LABEL = 8  # columns
_BAR_MIN, _BAR_MAX = 6, 40
_BAR_REST = 64  # columns of a line that are not its bar

HELP = (
    ("Keys", ""),
    ("up down PgUp PgDn Home End", "scroll the downloads"),
    ("Tab", "scroll the waiting requests instead, and back"),
    ("a r p e s c t", "sort downloads by age, rate, progress, eta, state (stalled longest), client, target"),
    ("that key again", "reverse the order; the column is marked"),
    ("?", "show or close this page"),
    ("q", "quit"),
    ("", ""),
    ("Downloads", ""),
    ("sent, %", "part of the body that the kernel has accepted"),
    ("rate", "bytes per second that the client read in the last seconds"),
    ("eta", "time until all bytes are sent at that rate"),
    ("state", "sending; stalled: the client reads nothing; disk: a thread reads for it"),
    ("", ""),
    ("Waiting", ""),
    ("place", "position in the queue; clients take turns"),
    ("max-per-client", "the client runs as many downloads as --max-per-client allows"),
    ("slots", "every slot is in use: --memory allows no more downloads"),
    ("memory", "slots are free, but all of --memory is in use or reserved"),
    ("connections", "connections wait to be accepted, and go first"),
    ("express, listings, turn", "small answers and directory listings: they wait only a moment"),
)


def frame(view: View | None, address: str, error: str, style: Style) -> list[Text]:
    """Return the lines. ``error``: what is wrong now, if anything; the view is then the last one that was read."""
    lines = [_title(view, address, error)]
    if style.help:
        lines += [Text()] + [_explained(*each) for each in HELP]
    elif view is not None:
        lines += _summary(view, style)
        lines += tables(view, style, None if style.height is None else style.height - len(lines) - style.keys)
    if style.keys:
        lines = lines[: (style.height or len(lines) + 1) - 1]
        lines += [Text()] * ((style.height or 0) - len(lines) - 1)
        lines.append(_keys(style))
    return [_cut(line, style) for line in lines[: style.height]]


def visible_rows(view: View | None, style: Style) -> tuple[int, int]:
    """Return how many rows of downloads, and of waiting requests, a frame of this style shows at most."""
    if view is None or style.height is None:
        return 1, 1
    downloads, waiting = divide(view, style.height - 1 - len(list(_summary(view, style))) - style.keys)
    return rows_within(downloads), rows_within(waiting)


def _cut(line: Text, style: Style) -> Text:
    line.plain = style.shown(line.plain)
    line.truncate(style.width, overflow="crop")
    line.no_wrap = True
    return line


def _title(view: View | None, address: str, error: str) -> Text:
    if error:
        return Text.assemble(("freight ", "bold"), address, "  ", (error, "bold red"))
    if view is None:
        return Text.assemble(("freight ", "bold"), address, "  connecting")
    status = view.status
    urls = (url.removeprefix("http://").rstrip("/") for url in status.urls)
    parts = [basename(status.path) or status.path, *urls, f"pid {status.pid}"]
    parts += [f"{status.workers} workers"] if status.workers > 1 else []
    return Text.assemble(
        ("freight " + status.version, "bold"),
        f"  {address}",
        ("  draining", "bold yellow") if status.draining else "",
        "  " + " \N{MIDDLE DOT} ".join(parts),
    )


def _explained(word: str, meaning: str) -> Text:
    if not meaning:
        return Text(word, style="bold")
    return Text.assemble((f"  {word:<27}", ""), (meaning, "dim"))


def _summary(view: View, style: Style) -> Iterator[Text]:
    status = view.status
    used = status.grown_bytes + status.kernel_bytes
    memory = "over budget: " if used > status.budget_bytes else ""
    memory += f"{brief_size(used)} of {status.memory}: "
    memory += f"process {brief_size(status.grown_bytes)}, kernel {brief_size(status.kernel_bytes)}"
    yield _gauge("memory", used / status.budget_bytes, memory, style)
    slots = f"{status.running:,} of {status.slots:,} run"
    slots += f", {status.express_running:,} express" if status.express_running else ""
    yield _gauge("slots", status.running / max(1, status.slots), f"{slots}; {status.connections:,} connections", style)
    yield _labelled("queue", _queue(status), "yellow" if status.waiting else "")
    sent = f"{brief_size(status.sent_bytes)} sent, {status.completed:,} downloads completed"
    yield _labelled("rate", f"{brief_rate(view.rate)}; {sent}")
    yield _labelled("aborted", _by_reason(status.aborted) or "none")
    for path, seconds in status.unresponsive:
        yield _labelled("disk", f"{path} has not answered for {brief_seconds(seconds)}", "yellow")
    if status.log_lost:
        yield _labelled("log", f"{status.log_lost:,} lines lost", "yellow")
    if view.blocked_on_clients is not None and view.blocked_on_disk is not None:
        on_clients, on_disk = round(view.blocked_on_clients), round(view.blocked_on_disk)
        yield _labelled("blocked", f"{on_clients:,} on clients, {on_disk:,} on disk")


def _queue(status: StatusSnapshot) -> str:
    if not status.waiting:
        return f"0 wait; {status.rejected:,} rejected"
    reasons = _by_reason(sorted(status.waiting_for, key=lambda pair: -pair[1]))
    oldest = brief_seconds(status.oldest_wait_seconds)
    reasons = f": {reasons}" if reasons else ""
    return f"{status.waiting:,} wait, the oldest for {oldest}{reasons}; {status.rejected:,} rejected"


def _by_reason(numbers: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in numbers)


def _labelled(label: str, text: str, color: str = "") -> Text:
    return Text.assemble((f"{label:<{_LABEL}}", "bold"), (text, color))


def _gauge(label: str, fraction: float, text: str, style: Style) -> Text:
    color = "green" if fraction < 0.8 else "yellow" if fraction <= 1 else "red"
    bar = style.bar(fraction, min(_BAR_MAX, max(_BAR_MIN, style.width - _BAR_REST)))
    return Text.assemble((f"{label:<{_LABEL}}", "bold"), (bar, color), f" {percent(fraction)}  {text}")


def _keys(style: Style) -> Text:
    if style.help:
        return Text.assemble((" ? ", "bold reverse"), ("back", "dim"), ("  q ", "bold"), ("quit", "dim"))
    text = Text("q quit  ? help  sort:", style="dim")
    for sort in SORTS:
        chosen = sort is style.sort
        text.append(f" {sort.key}", style="bold reverse" if chosen else "bold")
        text.append(f" {sort.name}{style.sort_mark if chosen else ''}", style="bold" if chosen else "dim")
    return text
