"""PURE: messages for the operator when a server stops: what still runs and for how long, and the totals."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from freight.errors import ShutdownTimeout
from freight.units import brief_seconds, format_seconds

LINGERING_REPORT_SECONDS = 4.0
"""How long after the stop the log reports connections that remain, although no download runs.

Idle connections are closed by then. The rest are slow clients that have not taken the end of an answer.
"""


def stopping(running: int, drain_seconds: float, delay_seconds: float, number: int) -> str:
    """Return the message when signal ``number`` stops a server with ``running`` downloads; "" if it stops at once."""
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
    """Return the message for connections that remain LINGERING_REPORT_SECONDS after the stop.

    Return "" without such ``connections``, or when the drain is over by then.
    """
    left = drain_seconds - LINGERING_REPORT_SECONDS
    if not connections or left <= 0:
        return ""
    again = f"{_again(number)} ends {'it' if connections == 1 else 'them'} now"
    return f"stopping: {_count(connections, 'connection')} may take {brief_seconds(left)} more; {again}"


def stopped(completed: int, aborted: Mapping[str, int]) -> str:
    """Return the last message: the downloads completed since the start, and those aborted, by reason."""
    cut = sum(aborted.values())
    counts = [_count(completed, "download") + " completed"] if completed or cut else []
    if cut:
        now = aborted.get(ShutdownTimeout.reason, 0)
        counts.append(f"{cut:,} aborted" + (f" ({now:,} by this stop)" if now else ""))
    return f"stopped: {', '.join(counts)}" if counts else "stopped"


def _again(number: int) -> str:
    """Return the signal that ends everything after signal ``number``. A second SIGHUP does not."""
    if number == signal.SIGHUP:
        return "SIGTERM"
    return "Ctrl-C again" if number == signal.SIGINT else f"another {signal.Signals(number).name}"


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
