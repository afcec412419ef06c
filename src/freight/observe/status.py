"""The status of a server as a JSON object. docs/reference/admin.md has its fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from freight.http.printable import shorten
from freight.model import COUNTERS, Counts, DownloadStatus, FileSystemStatus, Snapshot, WaitingStatus
from freight.units import chosen_size

_PRECISION = 6  # decimals of a second


def status(snapshot: Snapshot) -> bytes:
    """Return a snapshot as one line of JSON, all ASCII."""
    return json.dumps(status_mapping(snapshot), allow_nan=False).encode("ascii") + b"\n"


def status_mapping(snapshot: Snapshot) -> dict[str, Any]:
    """Return a snapshot as what its JSON says."""
    transfers, admission, totals = snapshot.transfers, snapshot.admission, _totals(snapshot.counts)
    shown: dict[str, Any] = {
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
        "admission": {
            **asdict(admission),
            "oldest_wait_seconds": round(admission.oldest_wait_seconds, _PRECISION),
            **totals["admission"],
        },
        "transfers": {
            **totals["transfers"],
            "running": [_running(each) for each in transfers.running],
            "running_omitted": transfers.running_omitted,
        },
        "waiting": [_waiting(each) for each in snapshot.waiting],
        "waiting_omitted": snapshot.waiting_omitted,
        "unresponsive": [_unresponsive(each) for each in snapshot.unresponsive],
        "disk": totals["disk"],
        "time": totals["time"],
        "log": totals["log"],
    }
    if snapshot.workers is not None:
        shown["workers"] = asdict(snapshot.workers)
    return shown


def _totals(counts: Counts) -> dict[str, dict[str, Any]]:
    """Return the counters by section and key."""
    totals: dict[str, dict[str, Any]] = {}
    for counter in COUNTERS:
        value = counter.value_of(counts)
        if isinstance(value, Mapping):
            value = dict(value)
        totals.setdefault(counter.section, {})[counter.key] = (
            round(value, _PRECISION) if isinstance(value, float) else value
        )
    return totals


def _unresponsive(each: FileSystemStatus) -> dict[str, Any]:
    return asdict(each) | {"path": shorten(each.path), "seconds": round(each.seconds, _PRECISION)}


def _running(each: DownloadStatus) -> dict[str, Any]:
    shown = {
        "id": each.id,
        "client": each.client,
        "target": shorten(each.target),
        "sent": each.sent_bytes,
        "total_bytes": each.total_bytes,
        "rate": round(each.rate_bytes_per_second),
        "window": each.window_bytes,
        "kernel_queue": each.kernel_queue_bytes,
        "seconds": round(each.seconds, _PRECISION),
        "blocked_on": each.blocked_on,
        "protocol": each.protocol,
    }
    return shown if each.worker is None else shown | {"worker": each.worker}


def _waiting(each: WaitingStatus) -> dict[str, Any]:
    shown = {
        "client": each.client,
        "target": shorten(each.target),
        "seconds": round(each.seconds, _PRECISION),
        "place": each.place,
        "reason": each.reason.value,
    }
    return shown if each.worker is None else shown | {"worker": each.worker}
