"""The status: one JSON object, and every field of it is documented."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freight.model import Snapshot
from freight.observe.status import status

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "admin.md"


def test_the_object_has_these_fields(snapshot: Snapshot) -> None:
    found = json.loads(status(snapshot))
    assert found == {
        "version": "1.2.3",
        "pid": 1503,
        "started_at": 1_767_323_045.25,
        "draining": False,
        "server": {"path": "/srv/data", "urls": ["http://127.0.0.1:8080/"], "memory": "64MiB", "workers": 1},
        "memory": {
            "budget_bytes": 67_108_864,
            "process_bytes": 16_777_216,
            "baseline_bytes": 14_680_064,
            "kernel_send_bytes": 98_304,
        },
        "connections": {"open": 5, "http2": 0, "streams": 0},
        "admission": found["admission"],
        "transfers": found["transfers"],
        "waiting": found["waiting"],
        "waiting_omitted": 5,
        "unresponsive": [{"path": "/srv/data/m", "seconds": 16.25, "hung_calls": 2, "serves_root": False}],
        "disk": {"timeouts_total": 6},
        "log": {"lost_total": 9},
        "time": {"blocked_on_client_seconds": 500.25, "blocked_on_disk_seconds": 3.5, "waiting_seconds": 40.125},
    }


def test_admission_has_these_fields(snapshot: Snapshot) -> None:
    assert json.loads(status(snapshot))["admission"] == {
        "slots": 1720,
        "running": 3,
        "express_running": 1,
        "waiting": 7,
        "oldest_wait_seconds": 1.5,
        "refused_total": 11,
        "expired_total": 6,
        "waiting_by_reason": {"max-per-client": 2, "memory": 5, "turn": 0},
        "refused_by_reason_total": {"max-per-client": 8, "memory": 0, "draining": 3},
    }


def test_transfers_have_these_fields(snapshot: Snapshot) -> None:
    found = json.loads(status(snapshot))["transfers"]
    assert found == {
        "completed_total": 120,
        "aborted_total": {"changed": 0, "peer-gone": 4, "error": 1},
        "bytes_total": 10**15 + 1,
        "zero_copy_bytes_total": 10**15,
        "running": found["running"],
        "running_omitted": 2,
    }


def test_each_running_download_has_these_fields(snapshot: Snapshot) -> None:
    assert json.loads(status(snapshot))["transfers"]["running"] == [
        {
            "id": 7,
            "client": "127.0.0.1",
            "target": "/huge.csv",
            "sent": 1000,
            "total_bytes": 10**12,
            "rate": 2_500_000,
            "window": 32_768,
            "kernel_queue": 30_000,
            "seconds": 60.123457,
            "blocked_on": "client",
            "protocol": "http/1.1",
        },
        {
            "id": 9,
            "client": "2001:db8::1",
            "target": '/a"b\\c\x1b\xe9',
            "sent": 0,
            "total_bytes": None,
            "rate": 0,
            "window": None,
            "kernel_queue": 0,
            "seconds": 0.0,
            "blocked_on": "disk",
            "protocol": "http/1.1",
        },
    ]


def test_each_waiting_request_has_these_fields(snapshot: Snapshot) -> None:
    assert json.loads(status(snapshot))["waiting"] == [
        {"client": "127.0.0.9", "target": "/huge.csv", "seconds": 1.5, "place": 1, "reason": "memory"},
        {
            "client": "2001:db8::2",
            "target": '/a"b\\c\x1b\xe9',
            "seconds": 0.123457,
            "place": 2,
            "reason": "max-per-client",
        },
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the fixture is a frozen value
@given(target=st.text(st.characters(max_codepoint=0xFF)))
def test_it_is_one_line_of_ascii_whatever_the_target(snapshot: Snapshot, target: str) -> None:
    transfers = replace(snapshot.transfers, running=(replace(snapshot.transfers.running[0], target=target),))
    waiting = (replace(snapshot.waiting[0], target=target),)
    line = status(replace(snapshot, transfers=transfers, waiting=waiting)).decode("ascii")
    assert line.endswith("\n") and len(line.splitlines()) == 1 and line[:-1].isprintable()
    assert json.loads(line)["transfers"]["running"][0]["target"] == target
    assert json.loads(line)["waiting"][0]["target"] == target


def paths(value: Any, path: str = "") -> Iterator[str]:
    """Yield the path of each value of an object: ``gate.slots``, ``transfers.running[].client``."""
    match value:
        case dict() if not path.endswith(("aborted_total", "by_reason", "by_reason_total")):
            for name, inner in value.items():
                yield from paths(inner, f"{path}.{name}".lstrip("."))
        case list():
            yield from paths(value[0], f"{path}[]")
        case _:
            yield path


def test_every_field_is_documented_and_no_other(workers_snapshot: Snapshot) -> None:
    _, section = REFERENCE.read_text(encoding="utf-8").split("\n## /status\n")
    documented = re.findall(r"^\| `([\w.\[\]]+)` \|", re.split("\n##+ ", section)[0], re.MULTILINE)
    assert documented == list(paths(json.loads(status(workers_snapshot))))


def test_a_single_process_has_no_field_of_workers(snapshot: Snapshot, workers_snapshot: Snapshot) -> None:
    alone, several = json.loads(status(snapshot)), json.loads(status(workers_snapshot))
    assert several.pop("workers") == {"wanted": 4, "running": 3, "restarts_total": 9}
    for rows in (several["transfers"]["running"], several["waiting"]):
        assert [each.pop("worker") for each in rows] == [4242, 4242]
    assert (alone["server"].pop("workers"), several["server"].pop("workers")) == (1, 4)
    assert several == alone
