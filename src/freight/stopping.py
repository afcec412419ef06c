"""PURE: what the operator reads when a server stops: what still runs and for how long, and what it came to."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from freight.errors import Drained
from freight.quantities import brief_seconds, format_seconds

LINGER_SECONDS = 4.0
"""How long connections without a download may take to close before the operator reads of them: those that are idle are
closed by then, and what is left is a slow client with the end of an answer."""


def stopping(running: int, drain_seconds: float, delay_seconds: float, number: int) -> str:
    """What to say when signal ``number`` asks to stop while so many downloads run; "" where nothing takes time."""
    again = f"{_again(number)} ends {'it' if running == 1 else 'them'} now"
    if delay_seconds:
        now = f"{_count(running, 'download')} running; " if running else ""
        return (
            f"stopping: {now}requests are accepted for {format_seconds(delay_seconds)} more, then downloads may take "
            f"{format_seconds(drain_seconds)}; {_again(number)} ends everything now"
        )
    if not running or not drain_seconds:
        return ""
    return f"stopping: {_count(running, 'download')} may take {format_seconds(drain_seconds)} more; {again}"


def lingering(connections: int, drain_seconds: float, number: int) -> str:
    """What to say LINGER_SECONDS later, where nothing is sent but some clients have still to take the end of an answer;
    "" where there is none, or no time.
    """
    left = drain_seconds - LINGER_SECONDS
    if not connections or left <= 0:
        return ""
    again = f"{_again(number)} ends {'it' if connections == 1 else 'them'} now"
    return f"stopping: {_count(connections, 'connection')} may take {brief_seconds(left)} more; {again}"


def stopped(completed: int, aborted: Mapping[str, int]) -> str:
    """What to say at the end: how many downloads were completed since the start, and how many aborted, by reason."""
    cut = sum(aborted.values())
    counts = [_count(completed, "download") + " completed"] if completed or cut else []
    if cut:
        now = aborted.get(Drained.reason, 0)
        counts.append(f"{cut:,} aborted" + (f" ({now:,} by this stop)" if now else ""))
    return f"stopped: {', '.join(counts)}" if counts else "stopped"


def _again(number: int) -> str:
    return "Ctrl-C again" if number == signal.SIGINT else f"another {signal.Signals(number).name}"


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
