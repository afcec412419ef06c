"""What the dashboard is told, as server-sent events: one sample a tick, kept for a while for who comes later. Pure.

docs/reference/admin.md has the form. Nothing here grows with clients: a frame has so many rows of so many characters,
and the ring so many samples, each kept as the text that is sent.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from freight.legible import legible
from freight.model import Running, Snapshot, Waiting
from freight.quantities import chosen_size

KEPT = 600
"""How many samples are kept: ten minutes of them."""

ROWS = 50
"""How many running downloads a frame has, those that have run longest, and how many waiting requests."""

CLIENTS = 10
"""How many clients a frame has, those with the most requests."""

FRAME_BYTES = 32 * 1024
"""No frame and no piece of history is longer, in bytes."""

_TARGET_BYTES = 100
_PATH_CHARACTERS = 120
_PIECE = 60  # samples of history in an event: some 4 KiB


def sample(at_ms: int, snapshot: Snapshot) -> list[float]:
    """One moment as numbers: what the charts are drawn from. ``at_ms``: milliseconds since the epoch."""
    memory, gate = snapshot.memory, snapshot.gate
    return [
        at_ms,
        max(0, memory.process_bytes - memory.baseline_bytes),
        memory.kernel_send_bytes,
        memory.budget_bytes,
        gate.running,
        gate.waiting,
        round(gate.oldest_wait_seconds, 1),
        snapshot.transfers.bytes_total,
    ]


def frame(at_ms: int, snapshot: Snapshot) -> bytes:
    """The event ``now``: a sample, the totals, the downloads that have run longest, and what waits."""
    transfers, gate, identity = snapshot.transfers, snapshot.gate, snapshot.identity
    rows = sorted(transfers.running, key=lambda each: each.began)
    clients = _clients(snapshot)
    told = {
        "sample": sample(at_ms, snapshot),
        "version": snapshot.version,
        "started": round(snapshot.started_at, 3),
        "draining": snapshot.draining,
        "pid": identity.pid,
        "path": _cut_front(identity.path),
        "urls": list(identity.urls),
        "memory": chosen_size(snapshot.memory.budget_bytes),
        "workers": identity.workers,
        "process": snapshot.memory.process_bytes,
        "slots": gate.slots,
        "connections": snapshot.connections.open,
        "completed": transfers.completed_total,
        "refused": gate.refused_total,
        "refused_for": _some(gate.refused_by_reason_total),
        "aborted": dict(transfers.aborted_total),
        "rows": [_row(each) for each in rows[:ROWS]],
        "omitted": max(0, len(rows) - ROWS) + transfers.running_omitted,
        "waiting": [_waiting(each) for each in snapshot.waiting[:ROWS]],
        "waiting_omitted": max(0, len(snapshot.waiting) - ROWS) + snapshot.waiting_omitted,
        "waiting_for": _some(gate.waiting_by_reason),
        "log_lost": snapshot.log.lost_total,
        "clients": clients[:CLIENTS],
        "clients_omitted": max(0, len(clients) - CLIENTS),
    }
    return _event("now", at_ms, told)


def _row(each: Running) -> list[Any]:
    return [
        each.number,
        each.client,
        _cut(each.target),
        each.sent_bytes,
        each.of_bytes,
        round(each.rate_bytes_per_second),
        each.window_bytes,
        each.kernel_queue_bytes,
        round(each.seconds),
        each.blocked_on,
    ]


def _waiting(each: Waiting) -> list[Any]:
    return [each.client, _cut(each.target), round(each.seconds, 1), each.place, each.reason.value]


def _clients(snapshot: Snapshot) -> list[list[Any]]:
    """Each client, what it runs, how many of its requests wait, and its rate; those with the most first."""
    found: dict[str, list[Any]] = {}
    for one in snapshot.transfers.running:
        row = found.setdefault(one.client, [one.client, 0, 0, 0])
        row[1] += 1
        row[3] += round(one.rate_bytes_per_second)
    for each in snapshot.waiting:
        found.setdefault(each.client, [each.client, 0, 0, 0])[2] += 1
    return sorted(found.values(), key=lambda row: (-row[1] - row[2], row[0]))


def _cut(target: str) -> str:
    """The beginning of a target, as it can be shown."""
    text = _shown(target[: _TARGET_BYTES + 1])
    data = text.encode()
    if len(data) <= _TARGET_BYTES:
        return text
    return data[: _TARGET_BYTES - len("\u2026".encode())].decode("utf-8", "ignore") + "\u2026"


def _cut_front(path: str) -> str:
    """The end of a path, as it can be shown."""
    return _shown(path if len(path) <= _PATH_CHARACTERS else f"\u2026{path[1 - _PATH_CHARACTERS :]}")


def _shown(text: str) -> str:
    return text if text.isprintable() else "".join(one if one.isprintable() else "\ufffd" for one in legible(text))


def _some(numbers: Mapping[str, int]) -> dict[str, int]:
    """Those that are not 0."""
    return {name: number for name, number in numbers.items() if number}


def _event(kind: str, at_ms: int, told: object) -> bytes:
    """One event (HTML, section 9.2.6): JSON has no line breaks, so its data is one line."""
    text = json.dumps(told, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return f"id: {at_ms}\nevent: {kind}\ndata: {text}\n\n".encode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class _Kept:
    at_ms: int
    text: bytes


class Ring:
    """The last KEPT samples, and the frame of the last."""

    def __init__(self) -> None:
        self._kept: deque[_Kept] = deque(maxlen=KEPT)
        self._frame = b""

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, at_ms: int, snapshot: Snapshot) -> None:
        """A new moment, later than all before."""
        text = json.dumps(sample(at_ms, snapshot), allow_nan=False, separators=(",", ":")).encode()
        self._kept.append(_Kept(at_ms, text))
        self._frame = frame(at_ms, snapshot)

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()
        self._frame = b""

    def after(self, at_ms: int) -> tuple[int, bytes] | None:
        """What comes next for a viewer that knows all until ``at_ms``: that event's time and text; None: nothing yet.

        A piece of what it has missed, the oldest first, and then the last moment as a frame. A time that is yet to
        come is another clock's: such a viewer knows nothing.
        """
        kept = self._kept
        if kept and at_ms > kept[-1].at_ms:
            at_ms = -1
        missed = list(takewhile(lambda each: each.at_ms > at_ms, reversed(kept)))
        if len(missed) <= 1:
            return (missed[0].at_ms, self._frame) if missed else None
        piece = missed[: -_PIECE - 1 : -1] if len(missed) > _PIECE else missed[:0:-1]
        stop = piece[-1].at_ms
        return stop, b"id: %d\nevent: history\ndata: [%b]\n\n" % (stop, b",".join(each.text for each in piece))
