"""PURE. Decide whether other programs disturbed a measurement, and word the warning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Load = Mapping[str, Any]

OTHERS_SHARE = 0.1
"""Largest part of CPU time that other programs may use. The report names no difference below a tenth either."""

STEAL_SHARE = 0.05
"""Largest part of CPU time that other virtual machines may take."""

WAIT_SHARE = 0.1
"""Largest part of a measurement in which the clients' process may be runnable without a processor."""


def is_busy(load: Load) -> bool:
    """Return whether other programs or virtual machines used too much CPU time for the numbers to be trusted."""
    others, steal = load.get("others_share"), load.get("steal_share")
    return (others is not None and others >= OTHERS_SHARE) or (steal is not None and steal >= STEAL_SHARE)


def warning(processors: int, before: Load, during: Load) -> str | None:
    """Return the warning about a run on a busy machine; None if it was quiet, or if the kernel does not tell."""
    if not is_busy(during):
        return None
    load = before.get("load")
    parts = [f"load {load:.1f} on {_processors(processors)}"] if load is not None else []
    return f"This machine was busy ({'; '.join([*parts, *_users(during)])}): do not trust these numbers."


def warning_now(processors: int, before: Load) -> str | None:
    """Return the warning about a machine that is busy before the first measurement, or None."""
    load = before.get("load")
    if not is_busy(before):
        return None
    shown = f"load {load:.1f} on {_processors(processors)}" if load is not None else "; ".join(_users(before))
    return f"this machine is busy now ({shown}); the numbers will not be trustworthy"


def disturbance(load: Load) -> str | None:
    """Return the warning about one scenario that was disturbed, or None."""
    users = _users(load)
    return f"While this was measured, {' and '.join(users)}." if is_busy(load) and users else None


def is_starved(rows: Sequence[Load]) -> bool:
    """Return whether other programs kept the clients from a processor, from the first of these readings to the last.

    Clients also wait while the measured server runs, which is no disturbance. So other programs must have run too.
    """
    first, last = rows[0], rows[-1]
    names = ("others_seconds", "crowd_waited_seconds")
    if any(row.get(name) is None for row in (first, last) for name in names):
        return False
    whole = max(last["seconds"] - first["seconds"], 1e-6)
    others, waited = ((last[name] - first[name]) / whole for name in names)
    return bool(others >= OTHERS_SHARE and waited >= WAIT_SHARE)


def is_always_starved(case: Mapping[str, Any]) -> bool:
    """Return whether the clients were starved in every measurement of a case of a summary."""
    rounds = case["rounds"]
    return bool(rounds["starved"] == rounds["all"])


def _users(load: Load) -> list[str]:
    others, steal = load.get("others_share"), load.get("steal_share")
    found = []
    if others is not None and others >= OTHERS_SHARE:
        found.append(f"other programs took {others:.0%} of the processors")
    if steal is not None and steal >= STEAL_SHARE:
        found.append(f"other virtual machines took {steal:.0%} of the processors")
    return found


def _processors(count: int) -> str:
    return "1 processor" if count == 1 else f"{count} processors"
