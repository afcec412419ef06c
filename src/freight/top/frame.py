"""A view as lines of a terminal, each cut to its width: nothing ever wraps, and every mark is a word."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from freight.quantities import brief_rate, brief_seconds, brief_size, chosen_size
from freight.top.follow import Progress, View
from freight.top.look import Look

_LABEL = 8  # columns
_BAR = (6, 40)
_BAR_REST = 64  # columns of a line that are not its bar
_CLIENT, _PERCENT, _SIZE, _RATE, _LAST = 15, 4, 6, 8, 8
_TARGET_LEAST, _ROW_BAR = 8, (0, 10, 20)
_DAYS_SHOWN = 100 * 86_400  # who takes longer does not finish


@dataclass(frozen=True, slots=True)
class Sort:
    """An order of downloads: the key that chooses it, its name, what it goes by; ``falling``: largest first."""

    key: str
    name: str
    by: Callable[[Progress], float | str]
    falling: bool = True


SORTS = (
    Sort("a", "age", lambda each: each.download.seconds),
    Sort("r", "rate", lambda each: each.rate),
    Sort("p", "progress", lambda each: each.part),
    Sort("e", "eta", lambda each: each.eta_seconds, falling=False),
    Sort("s", "still", lambda each: each.still_seconds),
    Sort("c", "client", lambda each: each.download.client, falling=False),
    Sort("t", "target", lambda each: each.download.target, falling=False),
)


@dataclass(frozen=True, slots=True)
class Style:
    """How lines are made.

    ``width`` in columns; ``height`` in lines, None: as many as there are; ``unicode``: the terminal has more than
    ASCII; ``sort``, ``turned``: in which order, or the other way round; ``keys``: say at the bottom what they do.
    """

    width: int
    height: int | None = None
    unicode: bool = True
    sort: Sort = SORTS[0]
    turned: bool = False
    keys: bool = False


def frame(view: View | None, place: str, note: str, style: Style) -> list[Text]:
    """The lines. ``place``: whose they are; ``note``: what is wrong now, if anything; then the view is an old one."""
    lines = [_title(view, place, note)]
    if view is not None:
        lines += _summary(view, style)
        lines += _table(view, style, None if style.height is None else style.height - len(lines) - style.keys)
    if style.keys:
        lines = lines[: (style.height or len(lines) + 1) - 1]
        lines += [Text()] * ((style.height or 0) - len(lines) - 1)
        lines.append(_keys(style))
    return [_cut(line, style) for line in lines[: style.height]]


def _cut(line: Text, style: Style) -> Text:
    line.plain = _ascii(line.plain, style)
    line.truncate(style.width, overflow="crop")
    line.no_wrap = True
    return line


def _ascii(text: str, style: Style) -> str:
    """The text as the terminal can show it: as long as it was."""
    return text if style.unicode else text.encode("ascii", "replace").decode("ascii")


def _title(view: View | None, place: str, note: str) -> Text:
    if note:
        return Text.assemble(("freight ", "bold"), place, "  ", (note, "bold red"))
    if view is None:
        return Text.assemble(("freight ", "bold"), place, "  asking")
    return Text.assemble(
        ("freight " + view.look.version, "bold"),
        f"  {place}",
        ("  draining", "bold yellow") if view.look.draining else "",
    )


def _summary(view: View, style: Style) -> Iterator[Text]:
    look = view.look
    used = look.grown_bytes + look.kernel_bytes
    memory = f"{brief_size(used)} of {chosen_size(look.budget_bytes)}: "
    memory += f"process {brief_size(look.grown_bytes)}, kernel {brief_size(look.kernel_bytes)}"
    yield _gauge("memory", used / look.budget_bytes, memory, style)
    slots = f"{look.running:,} of {look.slots:,} run"
    slots += f", {look.express_running:,} express" if look.express_running else ""
    yield _gauge("slots", look.running / max(1, look.slots), f"{slots}; {look.connections:,} connections", style)
    oldest = f", the oldest for {brief_seconds(look.oldest_wait_seconds)}" if look.waiting else ""
    yield _labelled(
        "queue", f"{look.waiting:,} wait{oldest}; {look.refused:,} refused", "yellow" if look.waiting else ""
    )
    sent = f"{brief_size(look.sent_bytes)} sent, {look.completed:,} downloads whole"
    yield _labelled("rate", f"{brief_rate(view.rate)}; {sent}")
    yield _labelled("aborted", _reasons(look))
    if view.on_clients is not None and view.on_disk is not None:
        waits = f"{view.on_clients:.1f} downloads for clients, {view.on_disk:.1f} for the disk, on average"
        yield _labelled("wait", waits)


def _reasons(look: Look) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in look.aborted) or "none"


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


def _table(view: View, style: Style, room: int | None) -> Iterator[Text]:
    """The downloads that there is room for, and how many there are besides."""
    rows = sorted(view.downloads, key=style.sort.by, reverse=style.sort.falling != style.turned)
    total = len(rows) + view.look.omitted
    if room is not None and room < 3:
        return
    yield Text()
    if not total:
        yield Text("no downloads")
        return
    columns = _Columns.within(style.width)
    yield Text(columns.head(), style="reverse")
    shown = rows if room is None or (len(rows) <= room - 2 and not view.look.omitted) else rows[: room - 3]
    for each in shown:
        yield columns.row(each, style)
    if total > len(shown):
        yield Text(f"and {total - len(shown):,} more", style="dim")


@dataclass(frozen=True, slots=True)
class _Columns:
    """The widths of what varies: where there is little room, sizes go, then bars, then clients."""

    client: int
    target: int
    bar: int
    size: int

    @staticmethod
    def within(width: int) -> _Columns:
        fixed = _PERCENT + 1 + _RATE + 1 + _LAST
        for client, bar, size in (
            (39, _ROW_BAR[2], _SIZE),
            (_CLIENT, _ROW_BAR[1], _SIZE),
            (_CLIENT, _ROW_BAR[1], 0),
            (_CLIENT, 0, 0),
            (0, 0, 0),
        ):
            target = width - fixed - sum(column + 1 for column in (client, bar, size) if column) - 1
            if target >= (3 * _TARGET_LEAST if client > _CLIENT else _TARGET_LEAST):
                return _Columns(client, target, bar, size)
        return _Columns(0, max(0, width - fixed - 1), 0, 0)

    def head(self) -> str:
        """What the columns are."""
        return self._joined("client", "target", "sent".ljust(self.bar), "%", "of", "rate", "eta")

    def row(self, each: Progress, style: Style) -> Text:
        """One download."""
        download = each.download
        more = "\N{HORIZONTAL ELLIPSIS}" if style.unicode else "~"
        of = "" if download.of_bytes is None else brief_size(download.of_bytes)
        percent = "" if each.part < 0 else _percent(each.part)
        bar = " " * self.bar if each.part < 0 else _bar(each.part, self.bar, style)
        last, color = _last(each)
        line = self._joined(
            _head_of(download.client, self.client, more),
            _tail_of(_ascii(download.target, style), self.target, more),
            bar,
            percent,
            of,
            brief_rate(each.rate),
            last,
        )
        return Text(line, style=color)

    def _joined(self, client: str, target: str, bar: str, percent: str, of: str, rate: str, last: str) -> str:
        cells: Sequence[tuple[str, int, bool]] = (
            (client, self.client, False),
            (target, self.target, False),
            (bar, self.bar, False),
            (percent, _PERCENT, True),
            (of, self.size, True),
            (rate, _RATE, True),
            (last, _LAST, True),
        )
        return " ".join(
            text.rjust(width) if right else set_cell_size(text, width) for text, width, right in cells if width
        )


def _last(each: Progress) -> tuple[str, str]:
    """When it will be done, or what keeps it; and a color."""
    if each.download.on_disk:
        return "disk", "yellow"
    if each.stalled:
        return "stalled", "red"
    return ("-" if each.eta_seconds > _DAYS_SHOWN else brief_seconds(each.eta_seconds)), ""


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
    text = Text("q quit  sort:", style="dim")
    for sort in SORTS:
        chosen = sort is style.sort
        text.append(f" {sort.key} ", style="bold reverse" if chosen else "bold")
        text.append(sort.name + (("-" if style.turned else "+") if chosen else ""), style="bold" if chosen else "dim")
    return text
