"""How a view is drawn: the size of the terminal, the order of the downloads, and the characters it can show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from freight.tools.top.follow import Progress

_ASCII = str.maketrans(
    {"\N{MIDDLE DOT}": "-", "\N{BLACK UP-POINTING TRIANGLE}": "^", "\N{BLACK DOWN-POINTING TRIANGLE}": "v"}
)


@dataclass(frozen=True, slots=True)
class Sort:
    """An order of downloads.

    ``key`` chooses it; ``value`` is compared; ``column`` is the head of the column that gets the mark.
    """

    key: str
    name: str
    value: Callable[[Progress], float | str]
    column: str
    descending: bool = True


SORTS = (
    Sort("a", "age", lambda each: each.download.seconds, "age"),
    Sort("r", "rate", lambda each: each.rate, "rate"),
    Sort("p", "progress", lambda each: -1.0 if each.fraction is None else each.fraction, "%"),
    Sort("e", "eta", lambda each: each.eta_seconds, "eta", descending=False),
    Sort("s", "state", lambda each: each.stalled_seconds, "state"),
    Sort("c", "client", lambda each: each.download.client, "client", descending=False),
    Sort("t", "target", lambda each: each.download.target, "target", descending=False),
)


@dataclass(frozen=True, slots=True)
class Style:
    """How lines are made.

    ``width`` is in columns, ``height`` in lines; None: as many lines as there are. ``unicode``: the terminal shows more
    than ASCII. ``reversed``: the opposite of the order of ``sort``. ``keys``: explain the keys in the last line.
    ``help``: show the help page instead of the tables. ``first_download``, ``first_waiting``: the first row that each
    table shows, from 0.
    """

    width: int
    height: int | None = None
    unicode: bool = True
    sort: Sort = SORTS[0]
    reversed: bool = False
    keys: bool = False
    help: bool = False
    first_download: int = 0
    first_waiting: int = 0

    @property
    def descending(self) -> bool:
        """Whether the largest value is first."""
        return self.sort.descending != self.reversed

    @property
    def sort_mark(self) -> str:
        """The triangle that shows the direction of the order."""
        return "\N{BLACK DOWN-POINTING TRIANGLE}" if self.descending else "\N{BLACK UP-POINTING TRIANGLE}"

    @property
    def ellipsis(self) -> str:
        """The character that marks a text that was cut."""
        return "\N{HORIZONTAL ELLIPSIS}" if self.unicode else "~"

    def shown(self, text: str) -> str:
        """Return the text in characters that the terminal can show; its length stays the same."""
        return text if self.unicode else text.translate(_ASCII).encode("ascii", "replace").decode("ascii")

    def bar(self, fraction: float, width: int) -> str:
        """Return a bar of ``width`` columns, filled by this fraction."""
        full, empty = "#", "."
        if self.unicode:
            full, empty = "\N{BOX DRAWINGS HEAVY HORIZONTAL}", "\N{BOX DRAWINGS LIGHT HORIZONTAL}"
        filled = int(min(1.0, max(0.0, fraction)) * width)
        return full * filled + empty * (width - filled)


def percent(fraction: float) -> str:
    """Return whole percent, rounded down: 100% means complete."""
    return f"{min(999, int(100 * fraction)):>3}%"
