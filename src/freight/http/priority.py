"""Extensible priorities (RFC 9218): parse them, and schedule the streams of a connection by them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

URGENCIES = 8

_MEMBER = re.compile(r"[ \t]*+([ui])(?:=([^,; \t]*+))?+")
_MAX_MEMBERS = 16  # RFC 9218 defines two; more are not read


@dataclass(frozen=True, slots=True)
class Priority:
    """``urgency``: 0 is sent first, 7 last. ``incremental``: useful in parts, so it shares with its equals."""

    urgency: int = 3
    incremental: bool = True


DEFAULT = Priority()
"""For a request without a priority. RFC 9218's default is not incremental, but browsers always send one."""


def parse(text: str | None) -> Priority:
    """Parse the value of a Priority field or of a PRIORITY_UPDATE (section 4). Unknown members are ignored."""
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


class SendOrder:
    """The order in which the streams that can send are served.

    The most urgent go first, round-robin. The non-incremental streams of one urgency take one place in that round
    together, and are served one after another, by stream number (section 10).
    """

    __slots__ = ("_priorities", "_rounds", "_sequential")

    def __init__(self) -> None:
        self._priorities: dict[int, Priority] = {}
        self._rounds: list[dict[int, None]] = [{} for _ in range(URGENCIES)]  # next first; 0: the sequential
        self._sequential: list[set[int]] = [set() for _ in range(URGENCIES)]

    def __bool__(self) -> bool:
        return bool(self._priorities)

    def add(self, number: int, priority: Priority) -> None:
        """Add stream ``number`` (above 0), or change its priority."""
        known = self._priorities.get(number)
        if known == priority:
            return
        if known is not None:
            self.remove(number)
        self._priorities[number] = priority
        shared = self._rounds[priority.urgency]
        if priority.incremental:
            shared[number] = None
        else:
            self._sequential[priority.urgency].add(number)
            shared.setdefault(0)

    def remove(self, number: int) -> None:
        """Remove a stream that cannot send now, or has ended."""
        priority = self._priorities.pop(number, None)
        if priority is None:
            return
        shared, alone = self._rounds[priority.urgency], self._sequential[priority.urgency]
        alone.discard(number)
        shared.pop(number, None)
        if not alone:
            shared.pop(0, None)

    def first(self) -> int | None:
        """Return the stream to serve next."""
        if len(self._priorities) <= 1:
            return next(iter(self._priorities), None)
        for shared, alone in zip(self._rounds, self._sequential, strict=True):
            if shared:
                return next(iter(shared)) or min(alone)
        return None

    def rotate(self, number: int) -> None:
        """Move a stream, which has just been served, behind its equals."""
        priority = self._priorities.get(number)
        if priority is not None:
            shared, place = self._rounds[priority.urgency], number if priority.incremental else 0
            del shared[place]
            shared[place] = None

    def more_urgent(self, urgency: int) -> bool:
        """Return whether a stream is more urgent than ``urgency``."""
        return any(self._rounds[:urgency])
