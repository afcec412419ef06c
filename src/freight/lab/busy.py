"""PURE. Whether other programs disturbed a measurement, and the sentence that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Load = Mapping[str, Any]

OTHERS_SHARE = 0.1
"""Of the processors' time, used by other programs. A tenth is the least difference that the report calls one."""
STEAL_SHARE = 0.05
WAIT_SHARE = 0.1
"""Of a measurement's time, in which the clients' process could run and had no processor."""


def is_busy(load: Load) -> bool:
    """Whether other programs, or other virtual machines, took so much that the numbers cannot be trusted."""
    others, steal = load.get("others_share"), load.get("steal_share")
    return (others is not None and others >= OTHERS_SHARE) or (steal is not None and steal >= STEAL_SHARE)


def warning(processors: int, before: Load, during: Load) -> str | None:
    """The sentence about a run on a busy machine; None when it was quiet, or when the kernel does not say."""
    if not is_busy(during):
        return None
    load = before.get("load")
    parts = [f"load {load:.1f} on {_processors(processors)}"] if load is not None else []
    return f"This machine was busy ({'; '.join([*parts, *_takers(during)])}): do not trust these numbers."


def warning_now(processors: int, before: Load) -> str | None:
    """The sentence about a machine that is busy before anything is measured."""
    load = before.get("load")
    if not is_busy(before):
        return None
    shown = f"load {load:.1f} on {_processors(processors)}" if load is not None else "; ".join(_takers(before))
    return f"this machine is busy now ({shown}); the numbers will not be trustworthy"


def remark(load: Load) -> str | None:
    """The sentence about one scenario that was disturbed."""
    takers = _takers(load)
    return f"While this was measured, {' and '.join(takers)}." if is_busy(load) and takers else None


def starved(rows: Sequence[Load]) -> bool:
    """Whether the clients were kept from a processor by other programs, from the first of these readings to the last.

    Clients also wait for the server that is measured, which is no fault: so other programs must have run meanwhile.
    """
    first, last = rows[0], rows[-1]
    names = ("others_seconds", "crowd_waited_seconds")
    if any(row.get(name) is None for row in (first, last) for name in names):
        return False
    whole = max(last["seconds"] - first["seconds"], 1e-6)
    others, waited = ((last[name] - first[name]) / whole for name in names)
    return bool(others >= OTHERS_SHARE and waited >= WAIT_SHARE)


def _takers(load: Load) -> list[str]:
    others, steal = load.get("others_share"), load.get("steal_share")
    found = []
    if others is not None and others >= OTHERS_SHARE:
        found.append(f"other programs took {others:.0%} of the processors")
    if steal is not None and steal >= STEAL_SHARE:
        found.append(f"other virtual machines took {steal:.0%} of the processors")
    return found


def _processors(count: int) -> str:
    return "1 processor" if count == 1 else f"{count} processors"
