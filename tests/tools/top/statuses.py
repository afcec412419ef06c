"""Statuses of a server, for the tests of ``freight top``."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

from freight.tools.top.status import StatusSnapshot, parse_status

_numbers = count(1)


def running(**given: Any) -> dict[str, Any]:
    """Return a row of ``transfers.running``; without an ``id`` it is a new download."""
    row = {"id": next(_numbers)}
    row |= {"client": "127.0.0.1", "target": "/huge.csv", "sent": 400, "total_bytes": 1000}
    row |= {"rate": 100, "window": 32768}
    return row | {"kernel_queue": 0, "seconds": 10.0, "blocked_on": "client"} | given


def waiting(**given: Any) -> dict[str, Any]:
    """A row of ``waiting``."""
    return {"client": "127.0.0.1", "target": "/huge.csv", "seconds": 4.2, "place": 1, "reason": "slots"} | given


def _transfers(*rows: dict[str, Any]) -> dict[str, Any]:
    return {
        "completed_total": 5,
        "aborted_total": {"stalled": 2, "changed": 0},
        "bytes_total": 123_456_789,
        "zero_copy_bytes_total": 0,
        "running": list(rows),
        "running_omitted": 0,
    }


def status(*rows: dict[str, Any], **given: Any) -> dict[str, Any]:
    """Return a /status with these running downloads; ``given`` are parts of it: ``admission={"waiting": 3}``."""
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
        "admission": {
            "slots": 503,
            "running": len(rows),
            "express_running": 0,
            "waiting": 0,
            "oldest_wait_seconds": 0.0,
            "refused_total": 0,
            "waiting_by_reason": {},
        },
        "transfers": _transfers(*rows),
        "unresponsive": [],
        "disk": {"timeouts_total": 0},
        "log": {"lost_total": 0},
        "time": {"blocked_on_client_seconds": 0.0, "blocked_on_disk_seconds": 0.0, "waiting_seconds": 0.0},
    }
    for name, part in given.items():
        whole[name] = whole[name] | part if isinstance(part, dict) else part
    return whole


def parsed_status(*rows: dict[str, Any], **given: Any) -> StatusSnapshot:
    """Return such a /status, parsed."""
    return parse_status(json.dumps(status(*rows, **given)).encode())
