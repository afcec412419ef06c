"""What the tests of what can be seen from outside share: a server's look at one moment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freight.model import (
    ConnectionsUse,
    GateUse,
    Identity,
    LogUse,
    MemoryUse,
    Running,
    Snapshot,
    TimeUse,
    TransfersUse,
    Waiting,
    WaitReason,
    WorkersUse,
)

SNAPSHOT = Snapshot(
    version="1.2.3",
    started_at=1_767_323_045.25,
    draining=False,
    memory=MemoryUse(budget_bytes=64 << 20, process_bytes=16 << 20, baseline_bytes=14 << 20, kernel_send_bytes=98_304),
    connections=ConnectionsUse(open=5),
    gate=GateUse(
        slots=1720,
        running=3,
        express_running=1,
        waiting=7,
        oldest_wait_seconds=1.5,
        refused_total=11,
        expired_total=6,
        waiting_by_reason={"per-client": 2, "memory": 5, "turn": 0},
        refused_by_reason_total={"per-client": 8, "memory": 0, "draining": 3},
    ),
    transfers=TransfersUse(
        completed_total=120,
        aborted_total={"changed": 0, "peer-gone": 4, "error": 1},
        bytes_total=10**15 + 1,
        zero_copy_bytes_total=10**15,
        running=(
            Running("127.0.0.1", "/huge.csv", 1000, 10**12, 2.5e6, 32_768, 30_000, 60.123456789, "client", 100.5),
            Running("2001:db8::1", '/a"b\\c\x1b\xe9', 0, None, 0.0, None, 0, 0.0, "disk", 160.5),
        ),
        running_omitted=2,
    ),
    time=TimeUse(blocked_on_client_seconds=500.25, blocked_on_disk_seconds=3.5, waiting_seconds=40.125),
    identity=Identity(pid=1503, path="/srv/data", urls=("http://127.0.0.1:8080/",)),
    waiting=(
        Waiting("127.0.0.9", "/huge.csv", 1.5, 1, WaitReason.MEMORY),
        Waiting("2001:db8::2", '/a"b\\c\x1b\xe9', 0.123456789, 2, WaitReason.PER_CLIENT),
    ),
    waiting_omitted=5,
    log=LogUse(lost_total=9),
)


@pytest.fixture
def snapshot() -> Snapshot:
    """A server that does a little of everything; every number in it is another one."""
    return SNAPSHOT


@pytest.fixture
def crew(snapshot: Snapshot) -> Snapshot:
    """The same of a server of several workers."""
    running = tuple(replace(each, worker=4242) for each in snapshot.transfers.running)
    waiting = tuple(replace(each, worker=4242) for each in snapshot.waiting)
    workers = WorkersUse(wanted=4, running=3, restarts_total=9)
    transfers, identity = replace(snapshot.transfers, running=running), replace(snapshot.identity, workers=4)
    return replace(snapshot, transfers=transfers, identity=identity, workers=workers, waiting=waiting)
