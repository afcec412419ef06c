"""The two tables of a frame: the running downloads, and below them the waiting requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from freight.tools.top.follow import Progress, View
from freight.tools.top.status import WaitingRequest
from freight.tools.top.style import Style, percent
from freight.units import brief_rate, brief_seconds, brief_size

_CLIENT, _CLIENT_MAX, _PERCENT, _SIZE, _RATE, _TIME = 15, 39, 4, 6, 8, 6  # columns
_STATE, _STATE_LONG = 7, 16
_PLACE, _REASON = 5, 14  # "max-per-client"
_TARGET_MIN, _TARGET_GOOD, _BAR, _BAR_MAX = 8, 24, 10, 120
_WIDE = 100  # from this many columns on, downloads have an age and longer states
_ETA_MAX_SECONDS = 100 * 86_400  # a longer one is shown as unknown
_TABLE_MIN = 3  # lines: a blank one, the head, a row
_WAITING_DIVISOR = 3  # waiting requests get at most a third of the lines while there are downloads


def tables(view: View, style: Style, height: int | None) -> Iterator[Text]:
    """Yield the lines of both tables, at most ``height`` together."""
    downloads, waiting = (None, None) if height is None else divide(view, height)
    yield from _downloads(view, style, downloads)
    if waiting != 0 and _has_waiting(view):
        yield from _waiting_requests(view, style, waiting)


def divide(view: View, height: int) -> tuple[int, int]:
    """Return the lines of each table, each with the blank line above it and the line about rows that do not fit."""
    downloads, waiting = _TABLE_MIN + len(view.downloads), _TABLE_MIN + len(view.status.waiters)
    if not _has_waiting(view) or height < 2 * _TABLE_MIN + 2:
        return height, 0
    if downloads + waiting <= height:
        return downloads, waiting
    least = min(waiting, max(_TABLE_MIN + 1, height // _WAITING_DIVISOR))
    waiting = max(least, min(waiting, height - downloads))
    return height - waiting, waiting


def rows_within(height: int) -> int:
    """Return how many rows a table of this many lines shows, at least 1."""
    return max(1, height - _TABLE_MIN)


def _has_waiting(view: View) -> bool:
    return bool(view.status.waiters or view.status.waiters_omitted)


def _downloads(view: View, style: Style, height: int | None) -> Iterator[Text]:
    rows = sorted(view.downloads, key=style.sort.value, reverse=style.descending)
    if height is not None and height < _TABLE_MIN:
        return
    yield Text()
    if not rows and not view.status.omitted:
        yield Text("no downloads")
        return
    columns = _Columns.within(style.width, rows)
    yield Text(columns.head(style), style="reverse")
    yield from _page([columns.row(each, style) for each in rows], view.status.omitted, style.first_download, height)


def _waiting_requests(view: View, style: Style, height: int | None) -> Iterator[Text]:
    status = view.status
    yield Text()
    columns = _WaitingColumns.within(style.width, status.waiters)
    yield Text(columns.head(), style="reverse")
    rows = [columns.row(each, style) for each in status.waiters]
    yield from _page(rows, status.waiters_omitted, style.first_waiting, height)


def _page(rows: list[Text], omitted: int, first: int, height: int | None) -> Iterator[Text]:
    """Yield the rows that fit from ``first`` on, and which they are if some are missing. Two lines are used already."""
    if height is None:
        yield from rows
        if omitted:
            yield Text(f"and {omitted:,} more", style="dim")
        return
    height -= 2
    if len(rows) <= height and not omitted:
        yield from rows
        return
    count = max(0, height - 1)
    first = max(0, min(first, len(rows) - count))
    yield from rows[first : first + count]
    stop = min(len(rows), first + count)
    more = f", and {omitted:,} more that the server does not list" if omitted else ""
    yield Text(f"{min(first + 1, stop):,}-{stop:,} of {len(rows):,}{more}", style="dim")


@dataclass(frozen=True, slots=True)
class _Columns:
    """The widths of the columns that vary, 0 for one that is left out.

    On a narrow terminal sizes are left out first, then bars, then clients. Columns that targets do not need go to the
    bars.
    """

    client: int
    target: int
    bar: int
    size: int
    age: int
    state: int

    @classmethod
    def within(cls, width: int, rows: Sequence[Progress]) -> _Columns:
        """Return the widths for a terminal of ``width`` columns."""
        wide = width >= _WIDE
        age, state = (_TIME, _STATE_LONG) if wide else (0, _STATE)
        fixed = _PERCENT + _RATE + _TIME + state + 4 + (age + 1 if age else 0)
        clients = max((cell_len(each.download.client) for each in rows), default=0)
        for client, bar, size in (
            (min(_CLIENT_MAX, max(_CLIENT, clients)) if wide else _CLIENT, _BAR, _SIZE),
            (_CLIENT, _BAR, _SIZE),
            (_CLIENT, _BAR, 0),
            (_CLIENT, 0, 0),
            (0, 0, 0),
        ):
            target = width - fixed - sum(column + 1 for column in (client, bar, size) if column)
            if target >= (_TARGET_GOOD if client > _CLIENT else _TARGET_MIN):
                break
        target = max(0, target)
        longest = max((cell_len(each.download.target) for each in rows), default=0)
        spare = max(0, target - max(longest, _TARGET_GOOD)) if bar else 0
        more = min(spare, _BAR_MAX - _BAR)
        return cls(client, target - more, bar + more, size, age, state)

    def head(self, style: Style) -> str:
        names = ("client", "target", "sent", "%", "of", "rate", "age", "eta", "state")
        return self._joined(*(f"{name}{style.sort_mark}" if name == style.sort.column else name for name in names))

    def row(self, each: Progress, style: Style) -> Text:
        download, fraction = each.download, each.fraction
        state, color = _state(each, self.state)
        line = self._joined(
            _head_of(download.client, self.client, style.ellipsis),
            _tail_of(style.shown(download.target), self.target, style.ellipsis),
            brief_size(download.sent_bytes) if fraction is None else style.bar(fraction, self.bar),
            "" if fraction is None else percent(fraction),
            "" if download.of_bytes is None else brief_size(download.of_bytes),
            brief_rate(each.rate),
            brief_seconds(download.seconds),
            "-" if each.eta_seconds > _ETA_MAX_SECONDS else brief_seconds(each.eta_seconds),
            state,
        )
        return Text(line, style=color)

    def _joined(self, *texts: str) -> str:
        left = (self.client, self.target, self.bar)
        right = (_PERCENT, self.size, _RATE, self.age, _TIME)
        widths = [*((width, False) for width in left), *((width, True) for width in right), (self.state, False)]
        return _row(*((text, *width) for text, width in zip(texts, widths, strict=True)))


@dataclass(frozen=True, slots=True)
class _WaitingColumns:
    """The widths of the columns that vary in the table of waiting requests."""

    client: int
    target: int

    @classmethod
    def within(cls, width: int, rows: Sequence[WaitingRequest]) -> _WaitingColumns:
        """Return the widths for a terminal of ``width`` columns."""
        client = max((cell_len(each.client) for each in rows), default=0)
        client = min(_CLIENT_MAX, max(_CLIENT, client)) if width >= _WIDE else _CLIENT
        rest = width - _PLACE - _TIME - _REASON - 3
        target, longest = rest - client - 1, max((cell_len(each.target) for each in rows), default=0)
        if target < _TARGET_MIN:
            return cls(0, max(0, rest))
        return cls(client, min(target, max(longest, _TARGET_GOOD)))

    def head(self) -> str:
        return self._joined("place", "client", "target", "waited", "reason")

    def row(self, each: WaitingRequest, style: Style) -> Text:
        client = _head_of(each.client, self.client, style.ellipsis)
        target = _tail_of(style.shown(each.target), self.target, style.ellipsis)
        return Text(self._joined(str(each.place), client, target, brief_seconds(each.seconds), each.reason))

    def _joined(self, place: str, client: str, target: str, seconds: str, reason: str) -> str:
        return _row(
            (place, _PLACE, True),
            (client, self.client, False),
            (target, self.target, False),
            (seconds, _TIME, True),
            (reason, _REASON, False),
        )


def _row(*cells: tuple[str, int, bool]) -> str:
    """Join texts, each padded to its width (0: left out), aligned to the right or not."""
    shown = [text.rjust(width) if right else set_cell_size(text, width) for text, width, right in cells if width]
    return " ".join(shown).rstrip()


def _state(each: Progress, width: int) -> tuple[str, str]:
    """Return the state of a download, and a color."""
    if each.download.on_disk:
        return ("waiting for disk" if width > _STATE else "disk"), "yellow"
    if each.stalled:
        return (f"stalled {brief_seconds(each.stalled_seconds)}" if width > _STATE else "stalled"), "red"
    return "sending", ""


def _head_of(text: str, width: int, ellipsis: str) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)) + ellipsis


def _tail_of(text: str, width: int, ellipsis: str) -> str:
    """Return the end of a text, because a path ends in the name of its file."""
    if cell_len(text) <= width:
        return text
    text = text[-width:]
    while cell_len(text) > max(0, width - 1):
        text = text[1:]
    return ellipsis + text
