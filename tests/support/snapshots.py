"""A snapshot of a server, for tests of what is made of it."""

from __future__ import annotations

from freight.model import (
    AdmissionStats,
    ConnectionStats,
    Counts,
    DownloadStatus,
    FileSystemStatus,
    Identity,
    MemoryStats,
    Snapshot,
    TransferStats,
    WaitingStatus,
    WaitReason,
)

SNAPSHOT = Snapshot(
    version="1.2.3",
    started_at=1_767_323_045.25,
    draining=False,
    memory=MemoryStats(
        budget_bytes=64 << 20, process_bytes=16 << 20, baseline_bytes=14 << 20, kernel_send_bytes=98_304
    ),
    connections=ConnectionStats(open=5),
    admission=AdmissionStats(
        slots=1720,
        running=3,
        express_running=1,
        waiting=7,
        oldest_wait_seconds=1.5,
        waiting_by_reason={"max-per-client": 2, "memory": 5, "turn": 0},
    ),
    transfers=TransferStats(
        running=(
            DownloadStatus(
                "127.0.0.1", "/huge.csv", 1000, 10**12, 2.5e6, 32_768, 30_000, 60.123456789, "client", 100.5, id=7
            ),
            DownloadStatus("2001:db8::1", '/a"b\\c\x1b\xe9', 0, None, 0.0, None, 0, 0.0, "disk", 160.5, id=9),
        ),
        running_omitted=2,
    ),
    counts=Counts(
        completed=120,
        aborted={"changed": 0, "peer-gone": 4, "error": 1},
        sent_bytes=10**15 + 1,
        zero_copy_bytes=10**15,
        rejected=11,
        expired=6,
        rejected_by_reason={"max-per-client": 8, "memory": 0, "draining": 3},
        blocked_on_client_seconds=500.25,
        blocked_on_disk_seconds=3.5,
        waiting_seconds=40.125,
        disk_timeouts=6,
        log_lost=9,
    ),
    identity=Identity(pid=1503, path="/srv/data", urls=("http://127.0.0.1:8080/",)),
    waiting=(
        WaitingStatus("127.0.0.9", "/huge.csv", 1.5, 1, WaitReason.MEMORY),
        WaitingStatus("2001:db8::2", '/a"b\\c\x1b\xe9', 0.123456789, 2, WaitReason.PER_CLIENT),
    ),
    waiting_omitted=5,
    unresponsive=(FileSystemStatus("/srv/data/m", 16.25, 2, False),),
)
"""A snapshot of a server in which every number differs."""
