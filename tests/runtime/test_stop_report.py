"""What the operator reads when a server stops."""

from __future__ import annotations

import signal

import pytest

from freight.runtime.stop_report import lingering, stopped, stopping

INT, TERM = signal.SIGINT, signal.SIGTERM


@pytest.mark.parametrize(
    ("running", "drain", "delay", "number", "line"),
    [
        (1, 30, 0, INT, "stopping: 1 download may take 30s more; Ctrl-C again ends it now"),
        (1200, 600, 0, TERM, "stopping: 1,200 downloads may take 10m more; another SIGTERM ends them now"),
        (0, 30, 0, INT, ""),
        (3, 0, 0, INT, ""),
        (
            *(0, 30, 5, TERM),
            (
                "stopping: requests are accepted for 5s more, then downloads may take 30s; another SIGTERM ends "
                "everything now"
            ),
        ),
        (
            *(1, 30, 0.5, INT),
            (
                "stopping: 1 download running; requests are accepted for 500ms more, then downloads may take 30s; "
                "Ctrl-C again ends everything now"
            ),
        ),
    ],
)
def test_what_runs_and_how_long_it_may_take(running: int, drain: float, delay: float, number: int, line: str) -> None:
    assert stopping(running, drain, delay, number) == line


@pytest.mark.parametrize(
    ("connections", "drain", "line"),
    [
        (1, 30, "stopping: 1 connection may take 26s more; Ctrl-C again ends it now"),
        (2, 30, "stopping: 2 connections may take 26s more; Ctrl-C again ends them now"),
        (0, 30, ""),
        (2, 4, ""),
    ],
)
def test_connections_that_take_their_time(connections: int, drain: float, line: str) -> None:
    assert lingering(connections, drain, INT) == line


@pytest.mark.parametrize(
    ("completed", "aborted", "line"),
    [
        (0, {"drained": 0, "stalled": 0}, "stopped"),
        (1, {}, "stopped: 1 download completed"),
        (1200, {"drained": 0, "stalled": 1}, "stopped: 1,200 downloads completed, 1 aborted"),
        (0, {"drained": 2, "stalled": 1}, "stopped: 0 downloads completed, 3 aborted (2 by this stop)"),
    ],
)
def test_what_it_came_to(completed: int, aborted: dict[str, int], line: str) -> None:
    assert stopped(completed, aborted) == line
