"""What a server may say of itself, to be looked at."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

from freight.top.look import Look, parse_look

_numbers = count(1)


def running(**given: Any) -> dict[str, Any]:
    """A row of ``transfers.running``; one without an ``id`` is a download of its own."""
    row = {"id": next(_numbers)}
    row |= {"client": "127.0.0.1", "target": "/huge.csv", "sent": 400, "of": 1000, "rate": 100, "window": 32768}
    return row | {"kernel_queue": 0, "seconds": 10.0, "blocked_on": "client"} | given


def waiting(**given: Any) -> dict[str, Any]:
    """A row of ``waiting``."""
    return {"client": "127.0.0.1", "target": "/huge.csv", "seconds": 4.2, "place": 1, "reason": "slots"} | given


def status(*rows: dict[str, Any], **given: Any) -> dict[str, Any]:
    """A /status with these running; ``given`` are parts of it, ``gate={"waiting": 3}``."""
    whole: dict[str, Any] = {
        "version": "1.2.3",
        "pid": 1503,
        "started_at": 1000.0,
        "draining": False,
        "server": {"path": "/srv/data", "urls": ["http://127.0.0.1:8080/"], "memory": "20MB", "workers": 1},
        "waiting": [],
        "waiting_omitted": 0,
        "memory": {
            "budget_bytes": 20_000_000,
            "process_bytes": 16_000_000,
            "baseline_bytes": 14_000_000,
            "kernel_send_bytes": 12_000_000,
        },
        "connections": {"open": 7},
        "gate": {
            "slots": 503,
            "running": len(rows),
            "express_running": 0,
            "waiting": 0,
            "oldest_wait_seconds": 0.0,
            "refused_total": 0,
            "waiting_by_reason": {},
        },
        "transfers": {
            "completed_total": 5,
            "aborted_total": {"stalled": 2, "changed": 0},
            "bytes_total": 123_456_789,
            "zero_copy_bytes_total": 0,
            "running": list(rows),
            "running_omitted": 0,
        },
        "log": {"lost_total": 0},
        "time": {"blocked_on_client_seconds": 0.0, "blocked_on_disk_seconds": 0.0, "waiting_seconds": 0.0},
    }
    for name, part in given.items():
        whole[name] = whole[name] | part if isinstance(part, dict) else part
    return whole


def look(*rows: dict[str, Any], **given: Any) -> Look:
    """The same, read."""
    return parse_look(json.dumps(status(*rows, **given)).encode())
