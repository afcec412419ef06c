"""Snapshots of servers, for the tests of observability."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freight.model import Snapshot, WorkerStats
from support.snapshots import SNAPSHOT


@pytest.fixture
def snapshot() -> Snapshot:
    """Return the snapshot of a server in which every number differs."""
    return SNAPSHOT


@pytest.fixture
def workers_snapshot(snapshot: Snapshot) -> Snapshot:
    """Return the same of a server with several workers."""
    running = tuple(replace(each, worker=4242) for each in snapshot.transfers.running)
    waiting = tuple(replace(each, worker=4242) for each in snapshot.waiting)
    workers = WorkerStats(wanted=4, running=3, restarts_total=9)
    transfers, identity = replace(snapshot.transfers, running=running), replace(snapshot.identity, workers=4)
    return replace(snapshot, transfers=transfers, identity=identity, workers=workers, waiting=waiting)
