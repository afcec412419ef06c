"""What a server does, as a JSON object: docs/reference/admin.md has its fields."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from freight.legible import cut
from freight.model import Running, Snapshot, Waiting
from freight.quantities import chosen_size

_PRECISION = 6  # decimals of a second


def status(snapshot: Snapshot) -> bytes:
    """A snapshot as one line of JSON, all ASCII."""
    transfers, time = snapshot.transfers, snapshot.time
    shown = {
        "version": snapshot.version,
        "pid": snapshot.identity.pid,
        "started_at": round(snapshot.started_at, _PRECISION),
        "draining": snapshot.draining,
        "server": {
            "path": snapshot.identity.path,
            "urls": list(snapshot.identity.urls),
            "memory": chosen_size(snapshot.memory.budget_bytes),
            "workers": snapshot.identity.workers,
        },
        "memory": asdict(snapshot.memory),
        "connections": asdict(snapshot.connections),
        "gate": asdict(snapshot.gate) | {"oldest_wait_seconds": round(snapshot.gate.oldest_wait_seconds, _PRECISION)},
        "transfers": {
            "completed_total": transfers.completed_total,
            "aborted_total": dict(transfers.aborted_total),
            "bytes_total": transfers.bytes_total,
            "zero_copy_bytes_total": transfers.zero_copy_bytes_total,
            "running": [_running(each) for each in transfers.running],
            "running_omitted": transfers.running_omitted,
        },
        "waiting": [_waiting(each) for each in snapshot.waiting],
        "waiting_omitted": snapshot.waiting_omitted,
        "time": {name: round(seconds, _PRECISION) for name, seconds in asdict(time).items()},
    }
    shown["log"] = asdict(snapshot.log)
    if snapshot.workers is not None:
        shown["workers"] = asdict(snapshot.workers)
    return json.dumps(shown, allow_nan=False).encode("ascii") + b"\n"


def _running(each: Running) -> dict[str, Any]:
    shown = {
        "id": each.number,
        "client": each.client,
        "target": cut(each.target),
        "sent": each.sent_bytes,
        "of": each.of_bytes,
        "rate": round(each.rate_bytes_per_second),
        "window": each.window_bytes,
        "kernel_queue": each.kernel_queue_bytes,
        "seconds": round(each.seconds, _PRECISION),
        "blocked_on": each.blocked_on,
        "wire": each.wire,
    }
    return shown if each.worker is None else shown | {"worker": each.worker}


def _waiting(each: Waiting) -> dict[str, Any]:
    shown = {
        "client": each.client,
        "target": cut(each.target),
        "seconds": round(each.seconds, _PRECISION),
        "place": each.place,
        "reason": each.reason.value,
    }
    return shown if each.worker is None else shown | {"worker": each.worker}
