"""PURE: the events of the dashboard's stream: one sample each tick, kept for ten minutes.

docs/reference/admin.md has the format. Nothing here grows with the number of clients: a frame has at most ROWS rows of
limited length, and the buffer at most SAMPLES_KEPT samples, each as the text that is sent.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from freight.http.printable import printable
from freight.model import DownloadStatus, Snapshot, WaitingStatus
from freight.units import chosen_size

SAMPLES_KEPT = 600
"""The number of samples kept: ten minutes."""

ROWS = 50
"""The most running downloads in a frame, the longest running first, and the most waiting requests."""

CLIENTS = 10
"""The most clients in a frame, those with the most requests first."""

FRAME_BYTES = 32 * 1024
"""The longest frame or piece of history, in bytes."""

_TARGET_BYTES = 96  # so that a frame of long rows stays below FRAME_BYTES
_PATH_CHARACTERS = 120
_HISTORY_SAMPLES = 60  # in one event: about 4 KiB


def sample(at_ms: int, snapshot: Snapshot) -> list[float]:
    """Return one moment as the numbers that the charts show. ``at_ms``: milliseconds since the epoch."""
    memory, gate = snapshot.memory, snapshot.admission
    return [
        at_ms,
        max(0, memory.process_bytes - memory.baseline_bytes),
        memory.kernel_send_bytes,
        memory.budget_bytes,
        gate.running,
        gate.waiting,
        round(gate.oldest_wait_seconds, 1),
        snapshot.counts.sent_bytes,
    ]


def frame(at_ms: int, snapshot: Snapshot) -> bytes:
    """Return the event ``now``: a sample, the totals, the longest running downloads, and the waiting requests."""
    transfers, gate, identity = snapshot.transfers, snapshot.admission, snapshot.identity
    rows = sorted(transfers.running, key=lambda each: each.began)
    clients = _clients(snapshot)
    fields = {
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
        "completed": snapshot.counts.completed,
        "refused": snapshot.counts.rejected,
        "refused_for": _nonzero(snapshot.counts.rejected_by_reason),
        "aborted": dict(snapshot.counts.aborted),
        "rows": [_row(each) for each in rows[:ROWS]],
        "omitted": max(0, len(rows) - ROWS) + transfers.running_omitted,
        "waiting": [_waiting(each) for each in snapshot.waiting[:ROWS]],
        "waiting_omitted": max(0, len(snapshot.waiting) - ROWS) + snapshot.waiting_omitted,
        "waiting_for": _nonzero(gate.waiting_by_reason),
        "unresponsive": [[_cut_front(each.path), round(each.seconds)] for each in snapshot.unresponsive[:CLIENTS]],
        "log_lost": snapshot.counts.log_lost,
        "clients": clients[:CLIENTS],
        "clients_omitted": max(0, len(clients) - CLIENTS),
    }
    return _event("now", at_ms, fields)


def _row(each: DownloadStatus) -> list[Any]:
    return [
        each.id,
        each.client,
        _cut(each.target),
        each.sent_bytes,
        each.total_bytes,
        round(each.rate_bytes_per_second),
        each.window_bytes,
        each.kernel_queue_bytes,
        round(each.seconds),
        each.blocked_on,
        each.worker,
    ]


def _waiting(each: WaitingStatus) -> list[Any]:
    return [each.client, _cut(each.target), round(each.seconds, 1), each.place, each.reason.value]


def _clients(snapshot: Snapshot) -> list[list[Any]]:
    """Return each client, its running downloads, its waiting requests, and its rate; those with the most first."""
    clients: dict[str, list[Any]] = {}
    for download in snapshot.transfers.running:
        row = clients.setdefault(download.client, [download.client, 0, 0, 0])
        row[1] += 1
        row[3] += round(download.rate_bytes_per_second)
    for each in snapshot.waiting:
        clients.setdefault(each.client, [each.client, 0, 0, 0])[2] += 1
    return sorted(clients.values(), key=lambda row: (-row[1] - row[2], row[0]))


def _cut(target: str) -> str:
    """Return the beginning of a target, with unprintable characters replaced."""
    text = _replace_unprintable(target[: _TARGET_BYTES + 1])
    data = text.encode()
    if len(data) <= _TARGET_BYTES:
        return text
    return data[: _TARGET_BYTES - len("\u2026".encode())].decode("utf-8", "ignore") + "\u2026"


def _cut_front(path: str) -> str:
    """Return the end of a path, with unprintable characters replaced."""
    return _replace_unprintable(path if len(path) <= _PATH_CHARACTERS else f"\u2026{path[1 - _PATH_CHARACTERS :]}")


def _replace_unprintable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in printable(text))


def _nonzero(numbers: Mapping[str, int]) -> dict[str, int]:
    return {name: number for name, number in numbers.items() if number}


def _event(kind: str, at_ms: int, fields: object) -> bytes:
    """Return one event (HTML, section 9.2.6). JSON has no line breaks, so its data is one line."""
    text = json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return f"id: {at_ms}\nevent: {kind}\ndata: {text}\n\n".encode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class _Kept:
    at_ms: int
    text: bytes


class SampleBuffer:
    """The last KEPT samples, and the frame of the last."""

    def __init__(self) -> None:
        self._kept: deque[_Kept] = deque(maxlen=SAMPLES_KEPT)
        self._frame = b""

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, at_ms: int, snapshot: Snapshot) -> None:
        """Add a sample. ``at_ms`` must be later than all before."""
        text = json.dumps(sample(at_ms, snapshot), allow_nan=False, separators=(",", ":")).encode()
        self._kept.append(_Kept(at_ms, text))
        self._frame = frame(at_ms, snapshot)

    def clear(self) -> None:
        """Discard all samples."""
        self._kept.clear()
        self._frame = b""

    def after(self, at_ms: int) -> tuple[int, bytes] | None:
        """Return the time and text of the next event for a viewer whose last was at ``at_ms``; None: there is none yet.

        The events are pieces of the history that it has missed, oldest first, and then the frame of the last sample. A
        time in the future is another server's: such a viewer gets the whole history.
        """
        kept = self._kept
        if kept and at_ms > kept[-1].at_ms:
            at_ms = 0
        missed = list(takewhile(lambda each: each.at_ms > at_ms, reversed(kept)))
        if len(missed) <= 1:
            return (missed[0].at_ms, self._frame) if missed else None
        piece = missed[: -_HISTORY_SAMPLES - 1 : -1] if len(missed) > _HISTORY_SAMPLES else missed[:0:-1]
        last_ms = piece[-1].at_ms
        return last_ms, b"id: %d\nevent: history\ndata: [%b]\n\n" % (last_ms, b",".join(each.text for each in piece))
