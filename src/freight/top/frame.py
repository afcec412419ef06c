"""A view as lines of a terminal, each cut to its width: nothing ever wraps, and every mark is a word.

Strategy: a few lines about the server, then two tables that share the room that is left: the running downloads, and
below them the requests that wait. Each shows a window of its rows, which keys move.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os.path import basename

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from freight.quantities import brief_rate, brief_seconds, brief_size
from freight.top.follow import Progress, View
from freight.top.look import Look, Waiter

_LABEL = 8  # columns
_BAR = (6, 40)
_BAR_REST = 64  # columns of a line that are not its bar
_CLIENT, _CLIENT_MOST, _PERCENT, _SIZE, _RATE, _TIME = 15, 39, 4, 6, 8, 6
_STATE, _STATE_LONG = 7, 16
_TARGET_LEAST, _TARGET_GOOD, _ROW_BAR, _ROW_BAR_MOST = 8, 24, 10, 120
_WIDE = 100  # columns, from which on there are an age and more words
_DAYS_SHOWN = 100 * 86_400  # what takes longer does not finish
_TABLE_LEAST = 3  # lines: a space, the head, a row
_WAITING_SHARE = 3  # a third of the room at most for what waits, where there are downloads too


@dataclass(frozen=True, slots=True)
class Sort:
    """An order of downloads: the key that chooses it, its name, what it goes by, the column that it is about;
    ``falling``: largest first.
    """

    key: str
    name: str
    by: Callable[[Progress], float | str]
    column: str
    falling: bool = True


SORTS = (
    Sort("a", "age", lambda each: each.download.seconds, "age"),
    Sort("r", "rate", lambda each: each.rate, "rate"),
    Sort("p", "progress", lambda each: each.part, "%"),
    Sort("e", "eta", lambda each: each.eta_seconds, "eta", falling=False),
    Sort("s", "state", lambda each: each.still_seconds, "state"),
    Sort("c", "client", lambda each: each.download.client, "client", falling=False),
    Sort("t", "target", lambda each: each.download.target, "target", falling=False),
)


@dataclass(frozen=True, slots=True)
class Style:
    """How lines are made.

    ``width`` in columns; ``height`` in lines, None: as many as there are; ``unicode``: the terminal has more than
    ASCII; ``sort``, ``turned``: in which order, or the other way round; ``keys``: say at the bottom what they do;
    ``help``: show what keys and columns mean, and no tables. ``first``, ``first_waiting``: the first row that each
    table shows, from 0.
    """

    width: int
    height: int | None = None
    unicode: bool = True
    sort: Sort = SORTS[0]
    turned: bool = False
    keys: bool = False
    help: bool = False
    first: int = 0
    first_waiting: int = 0


HELP = (
    ("Keys", ""),
    ("up down PgUp PgDn Home End", "scroll the downloads"),
    ("Tab", "scroll the waiting requests instead, and back"),
    ("a r p e s c t", "sort downloads by age, rate, progress, eta, state (stalled longest), client, target"),
    ("the same again", "the other way round; the column is marked"),
    ("?", "this page, and back"),
    ("q", "quit"),
    ("", ""),
    ("Downloads", ""),
    ("sent, %", "how much of the body the kernel has taken"),
    ("rate", "bytes a second that the client took in the last seconds"),
    ("eta", "when it will have been sent at that rate"),
    ("state", "sending; stalled: the client takes nothing; disk: a thread reads for it"),
    ("", ""),
    ("Waiting", ""),
    ("place", "whose turn is next; turns go round the clients"),
    ("per-client", "the client runs as many downloads as --per-client allows"),
    ("slots", "every slot is taken: --memory has room for no more downloads"),
    ("memory", "slots are left, but all of --memory is in use or reserved"),
    ("connections", "connections wait to be accepted, and go first"),
    ("express, listings, turn", "small answers, directory listings: a matter of moments"),
)


def frame(view: View | None, place: str, note: str, style: Style) -> list[Text]:
    """The lines. ``place``: whose they are; ``note``: what is wrong now, if anything; then the view is an old one."""
    lines = [_title(view, place, note)]
    if style.help:
        lines += [Text()] + [_explained(*each) for each in HELP]
    elif view is not None:
        lines += _summary(view, style)
        lines += _tables(view, style, None if style.height is None else style.height - len(lines) - style.keys)
    if style.keys:
        lines = lines[: (style.height or len(lines) + 1) - 1]
        lines += [Text()] * ((style.height or 0) - len(lines) - 1)
        lines.append(_keys(style))
    return [_cut(line, style) for line in lines[: style.height]]


def rooms(view: View | None, style: Style) -> tuple[int, int]:
    """How many rows of downloads, and of waiting requests, a frame of this style shows at most."""
    if view is None or style.height is None:
        return 1, 1
    room = style.height - 1 - len(list(_summary(view, style))) - style.keys
    downloads, waiting = _divide(view, room)
    return max(1, downloads - _TABLE_LEAST), max(1, waiting - _TABLE_LEAST)


def _cut(line: Text, style: Style) -> Text:
    line.plain = _ascii(line.plain, style)
    line.truncate(style.width, overflow="crop")
    line.no_wrap = True
    return line


_DRAWN = str.maketrans({"\u00b7": "-", "\u25b2": "^", "\u25bc": "v"})


def _ascii(text: str, style: Style) -> str:
    """The text as the terminal can show it: as long as it was."""
    return text if style.unicode else text.translate(_DRAWN).encode("ascii", "replace").decode("ascii")


def _title(view: View | None, place: str, note: str) -> Text:
    if note:
        return Text.assemble(("freight ", "bold"), place, "  ", (note, "bold red"))
    if view is None:
        return Text.assemble(("freight ", "bold"), place, "  asking")
    look = view.look
    parts = [basename(look.path) or look.path, *(_address(url) for url in look.urls), f"pid {look.pid}"]
    parts += [f"{look.workers} workers"] if look.workers > 1 else []
    return Text.assemble(
        ("freight " + look.version, "bold"),
        f"  {place}",
        ("  draining", "bold yellow") if look.draining else "",
        "  " + " \N{MIDDLE DOT} ".join(parts),
    )


def _address(url: str) -> str:
    return url.removeprefix("http://").rstrip("/")


def _explained(word: str, meaning: str) -> Text:
    if not meaning:
        return Text(word, style="bold")
    return Text.assemble((f"  {word:<27}", ""), (meaning, "dim"))


def _summary(view: View, style: Style) -> Iterator[Text]:
    look = view.look
    used = look.grown_bytes + look.kernel_bytes
    memory = "over budget: " if used > look.budget_bytes else ""
    memory += f"{brief_size(used)} of {look.memory}: "
    memory += f"process {brief_size(look.grown_bytes)}, kernel {brief_size(look.kernel_bytes)}"
    yield _gauge("memory", used / look.budget_bytes, memory, style)
    slots = f"{look.running:,} of {look.slots:,} run"
    slots += f", {look.express_running:,} express" if look.express_running else ""
    yield _gauge("slots", look.running / max(1, look.slots), f"{slots}; {look.connections:,} connections", style)
    yield _labelled("queue", _queue(look), "yellow" if look.waiting else "")
    sent = f"{brief_size(look.sent_bytes)} sent, {look.completed:,} downloads whole"
    yield _labelled("rate", f"{brief_rate(view.rate)}; {sent}")
    yield _labelled("aborted", _by_reason(look.aborted) or "none")
    if look.log_lost:
        yield _labelled("log", f"{look.log_lost:,} lines lost", "yellow")
    if view.on_clients is not None and view.on_disk is not None:
        yield _labelled("blocked", f"{round(view.on_clients):,} on clients, {round(view.on_disk):,} on disk")


def _queue(look: Look) -> str:
    if not look.waiting:
        return f"0 wait; {look.refused:,} refused"
    reasons = _by_reason(sorted(look.waiting_for, key=lambda pair: -pair[1]))
    oldest = brief_seconds(look.oldest_wait_seconds)
    reasons = f": {reasons}" if reasons else ""
    return f"{look.waiting:,} wait, the oldest for {oldest}{reasons}; {look.refused:,} refused"


def _by_reason(numbers: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in numbers)


def _labelled(label: str, text: str, color: str = "") -> Text:
    return Text.assemble((f"{label:<{_LABEL}}", "bold"), (text, color))


def _gauge(label: str, part: float, text: str, style: Style) -> Text:
    low, high = _BAR
    color = "green" if part < 0.8 else "yellow" if part <= 1 else "red"
    bar = _bar(part, min(high, max(low, style.width - _BAR_REST)), style)
    return Text.assemble((f"{label:<{_LABEL}}", "bold"), (bar, color), f" {_percent(part)}  {text}")


def _bar(part: float, width: int, style: Style) -> str:
    full, empty = (
        ("\N{BOX DRAWINGS HEAVY HORIZONTAL}", "\N{BOX DRAWINGS LIGHT HORIZONTAL}") if style.unicode else ("#", ".")
    )
    done = int(min(1.0, max(0.0, part)) * width)
    return full * done + empty * (width - done)


def _percent(part: float) -> str:
    # 100% is only what is whole.
    return f"{min(999, int(100 * part)):>3}%"


def _divide(view: View, room: int) -> tuple[int, int]:
    """Lines for the downloads and for what waits, each with the line above it and that about what is left out."""
    downloads, waiting = _TABLE_LEAST + len(view.downloads), _TABLE_LEAST + len(view.look.waiters)
    listed = view.look.waiters or view.look.waiters_omitted
    if not listed or room < 2 * _TABLE_LEAST + 2:
        return room, 0
    if downloads + waiting <= room:
        return downloads, waiting
    least = min(waiting, max(_TABLE_LEAST + 1, room // _WAITING_SHARE))
    waiting = max(least, min(waiting, room - downloads))
    return room - waiting, waiting


def _tables(view: View, style: Style, room: int | None) -> Iterator[Text]:
    downloads, waiting = (None, None) if room is None else _divide(view, room)
    yield from _downloads(view, style, downloads)
    if waiting != 0 and (view.look.waiters or view.look.waiters_omitted):
        yield from _waiters(view, style, waiting)


def _downloads(view: View, style: Style, room: int | None) -> Iterator[Text]:
    rows = sorted(view.downloads, key=style.sort.by, reverse=style.sort.falling != style.turned)
    if room is not None and room < _TABLE_LEAST:
        return
    yield Text()
    if not rows and not view.look.omitted:
        yield Text("no downloads")
        return
    columns = _Columns.within(style.width, rows)
    yield Text(columns.head(style), style="reverse")
    yield from _window([columns.row(each, style) for each in rows], view.look.omitted, style.first, room)


def _waiters(view: View, style: Style, room: int | None) -> Iterator[Text]:
    look = view.look
    yield Text()
    columns = _WaitingColumns.within(style.width, look.waiters)
    yield Text(columns.head(), style="reverse")
    rows = [columns.row(each, style) for each in look.waiters]
    yield from _window(rows, look.waiters_omitted, style.first_waiting, room)


def _window(rows: list[Text], omitted: int, first: int, room: int | None) -> Iterator[Text]:
    """The rows that there is room for from ``first`` on, below two lines, and which they are where some are missing."""
    if room is None:
        yield from rows
        if omitted:
            yield Text(f"and {omitted:,} more", style="dim")
        return
    room -= 2
    if len(rows) <= room and not omitted:
        yield from rows
        return
    shown = max(0, room - 1)
    first = max(0, min(first, len(rows) - shown))
    yield from rows[first : first + shown]
    stop = min(len(rows), first + shown)
    more = f", and {omitted:,} more that the server does not list" if omitted else ""
    yield Text(f"{min(first + 1, stop):,}-{stop:,} of {len(rows):,}{more}", style="dim")


@dataclass(frozen=True, slots=True)
class _Columns:
    """The widths of what varies, 0: it is left out. Where there is little room, sizes go, then bars, then clients.

    Where there is more than the targets need, the bars have it.
    """

    client: int
    target: int
    bar: int
    size: int
    age: int
    state: int

    @classmethod
    def within(cls, width: int, rows: Sequence[Progress]) -> _Columns:
        """Those that fit."""
        wide = width >= _WIDE
        age, state = (_TIME, _STATE_LONG) if wide else (0, _STATE)
        fixed = _PERCENT + _RATE + _TIME + state + 4 + (age + 1 if age else 0)
        clients = max((cell_len(each.download.client) for each in rows), default=0)
        for client, bar, size in (
            (min(_CLIENT_MOST, max(_CLIENT, clients)) if wide else _CLIENT, _ROW_BAR, _SIZE),
            (_CLIENT, _ROW_BAR, _SIZE),
            (_CLIENT, _ROW_BAR, 0),
            (_CLIENT, 0, 0),
            (0, 0, 0),
        ):
            target = width - fixed - sum(column + 1 for column in (client, bar, size) if column)
            if target >= (_TARGET_GOOD if client > _CLIENT else _TARGET_LEAST):
                break
        target = max(0, target)
        longest = max((cell_len(each.download.target) for each in rows), default=0)
        spare = max(0, target - max(longest, _TARGET_GOOD)) if bar else 0
        more = min(spare, _ROW_BAR_MOST - _ROW_BAR)
        return cls(client, target - more, bar + more, size, age, state)

    def head(self, style: Style) -> str:
        """What the columns are, the one that they are sorted by marked."""
        sort = style.sort
        mark = "\N{BLACK DOWN-POINTING TRIANGLE}" if sort.falling != style.turned else "\N{BLACK UP-POINTING TRIANGLE}"
        names = ("client", "target", "sent", "%", "of", "rate", "age", "eta", "state")
        return self._joined(*(f"{name}{mark}" if name == sort.column else name for name in names))

    def row(self, each: Progress, style: Style) -> Text:
        """One download."""
        download = each.download
        more = "\N{HORIZONTAL ELLIPSIS}" if style.unicode else "~"
        of = "" if download.of_bytes is None else brief_size(download.of_bytes)
        percent = "" if each.part < 0 else _percent(each.part)
        bar = brief_size(download.sent_bytes) if each.part < 0 else _bar(each.part, self.bar, style)
        state, color = _state(each, self.state)
        line = self._joined(
            _head_of(download.client, self.client, more),
            _tail_of(_ascii(download.target, style), self.target, more),
            bar,
            percent,
            of,
            brief_rate(each.rate),
            brief_seconds(download.seconds),
            "-" if each.eta_seconds > _DAYS_SHOWN else brief_seconds(each.eta_seconds),
            state,
        )
        return Text(line, style=color)

    def _joined(
        self, client: str, target: str, bar: str, percent: str, of: str, rate: str, age: str, eta: str, state: str
    ) -> str:
        return _row(
            (client, self.client, False),
            (target, self.target, False),
            (bar, self.bar, False),
            (percent, _PERCENT, True),
            (of, self.size, True),
            (rate, _RATE, True),
            (age, self.age, True),
            (eta, _TIME, True),
            (state, self.state, False),
        )


@dataclass(frozen=True, slots=True)
class _WaitingColumns:
    """The widths of what varies in the table of waiting requests."""

    client: int
    target: int

    @classmethod
    def within(cls, width: int, rows: Sequence[Waiter]) -> _WaitingColumns:
        """Those that fit."""
        client = max((cell_len(each.client) for each in rows), default=0)
        client = min(_CLIENT_MOST, max(_CLIENT, client)) if width >= _WIDE else _CLIENT
        rest = width - 5 - _TIME - 11 - 3
        target, longest = rest - client - 1, max((cell_len(each.target) for each in rows), default=0)
        if target < _TARGET_LEAST:
            return cls(0, max(0, rest))
        return cls(client, min(target, max(longest, _TARGET_GOOD)))

    def head(self) -> str:
        """What the columns are."""
        return self._joined("place", "client", "target", "waited", "reason")

    def row(self, each: Waiter, style: Style) -> Text:
        """One request."""
        more = "\N{HORIZONTAL ELLIPSIS}" if style.unicode else "~"
        client = _head_of(each.client, self.client, more)
        target = _tail_of(_ascii(each.target, style), self.target, more)
        return Text(self._joined(str(each.place), client, target, brief_seconds(each.seconds), each.reason))

    def _joined(self, place: str, client: str, target: str, seconds: str, reason: str) -> str:
        return _row(
            (place, 5, True),
            (client, self.client, False),
            (target, self.target, False),
            (seconds, _TIME, True),
            (reason, 11, False),
        )


def _row(*cells: tuple[str, int, bool]) -> str:
    """Texts, each as wide as it says (0: left out), to the right or not."""
    shown = [text.rjust(width) if right else set_cell_size(text, width) for text, width, right in cells if width]
    return " ".join(shown).rstrip()


def _state(each: Progress, width: int) -> tuple[str, str]:
    """What a download is at; and a color."""
    if each.download.on_disk:
        return ("waiting for disk" if width > _STATE else "disk"), "yellow"
    if each.stalled:
        return (f"stalled {brief_seconds(each.still_seconds)}" if width > _STATE else "stalled"), "red"
    return "sending", ""


def _head_of(text: str, width: int, more: str) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)) + more


def _tail_of(text: str, width: int, more: str) -> str:
    """The end of a text, where a path has the name of its file."""
    if cell_len(text) <= width:
        return text
    text = text[-width:]
    while cell_len(text) > max(0, width - 1):
        text = text[1:]
    return more + text


def _keys(style: Style) -> Text:
    if style.help:
        return Text.assemble((" ? ", "bold reverse"), ("back", "dim"), ("  q ", "bold"), ("quit", "dim"))
    text = Text("q quit  ? help  sort:", style="dim")
    for sort in SORTS:
        chosen = sort is style.sort
        mark = ("\u25bc" if sort.falling != style.turned else "\u25b2") if chosen else ""
        text.append(f" {sort.key}", style="bold reverse" if chosen else "bold")
        text.append(f" {sort.name}{mark}", style="bold" if chosen else "dim")
    return text
