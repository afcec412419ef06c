"""Which of several answers goes first (RFC 9218): what a client says of each, and whose turn that makes it."""

from __future__ import annotations

import re
from dataclasses import dataclass

URGENCIES = 8

_MEMBER = re.compile(r"[ \t]*+([ui])(?:=([^,; \t]*+))?+")
_MAX_MEMBERS = 16  # of which two mean something here; the others are not read


@dataclass(frozen=True, slots=True)
class Priority:
    """``urgency``: 0 goes first, 7 last. ``incremental``: of use before it is whole, so it shares with its equals."""

    urgency: int = 3
    incremental: bool = True


DEFAULT = Priority()
"""Where nothing is said. The RFC's is not incremental; but who says nothing is no browser, and files are files."""


def parse(text: str | None) -> Priority:
    """A Priority field, or an update's (section 4). What cannot be understood counts as not said."""
    if text is None:
        return DEFAULT
    urgency, incremental = DEFAULT.urgency, False
    for member in text.split(",", _MAX_MEMBERS)[:_MAX_MEMBERS]:
        found = _MEMBER.match(member)
        if found is None:
            continue
        name, value = found.groups()
        if name == "u" and value in ("0", "1", "2", "3", "4", "5", "6", "7"):
            urgency = int(value)
        elif name == "i" and value in (None, "?1", "?0"):
            incremental = value != "?0"
    return Priority(urgency, incremental)


class Precedence:
    """Who of those that can go on goes next: the most urgent, in rounds. Those that are not incremental go one after
    another, by number, and have together the turns of one.
    """

    __slots__ = ("_alone", "_places", "_shared")

    def __init__(self) -> None:
        self._places: dict[int, Priority] = {}
        self._shared: list[dict[int, None]] = [{} for _ in range(URGENCIES)]  # next first; 0 is those that go alone
        self._alone: list[set[int]] = [set() for _ in range(URGENCIES)]

    def __bool__(self) -> bool:
        return bool(self._places)

    def join(self, number: int, priority: Priority) -> None:
        """``number``, above 0, can go on."""
        if self._places.get(number) == priority:
            return
        self.leave(number)
        self._places[number] = priority
        shared = self._shared[priority.urgency]
        if priority.incremental:
            shared[number] = None
        else:
            self._alone[priority.urgency].add(number)
            shared.setdefault(0)

    def leave(self, number: int) -> None:
        """It cannot, or is no more."""
        priority = self._places.pop(number, None)
        if priority is None:
            return
        shared, alone = self._shared[priority.urgency], self._alone[priority.urgency]
        alone.discard(number)
        shared.pop(number, None)
        if not alone:
            shared.pop(0, None)

    def first(self) -> int | None:
        """Whose turn it is."""
        for shared, alone in zip(self._shared, self._alone, strict=True):
            if shared:
                return next(iter(shared)) or min(alone)
        return None

    def had(self, number: int) -> None:
        """It has had its turn, and can perhaps go on: it is last of its equals now."""
        priority = self._places.get(number)
        if priority is not None:
            shared, place = self._shared[priority.urgency], number if priority.incremental else 0
            del shared[place]
            shared[place] = None

    def more_urgent(self, urgency: int) -> bool:
        """Whether somebody is to go before all of this urgency."""
        return any(self._shared[:urgency])
