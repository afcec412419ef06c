"""The promise holds for several workers together: they have the slots and the memory of one budget."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crowds import Crowd, Group
from gauges import KIB, MB, Gauge
from serving import Served, until

Serve = Callable[..., Served]
Gather = Callable[..., Crowd]

PATIENT = ("--idle-timeout", "10m", "--min-rate", "none")  # those that stand still are meant to
GIANT = ("/giant.csv",)
RECEIVE = 64 * KIB
IMPATIENT = str(Path(__file__).parents[1] / "impatient.py")


def workers_of(server: Served) -> dict[int, int]:
    """How many downloads each worker runs, by pid."""
    running: dict[int, int] = {}
    for each in server.status()["transfers"]["running"]:
        running[each["worker"]] = running.get(each["worker"], 0) + 1
    return running


def grown(server: Served) -> int:
    """By how much its workers have grown, as it says itself."""
    memory = server.status()["memory"]
    return int(memory["process_bytes"] - memory["baseline_bytes"])


@pytest.mark.needs("ss")
def test_500_downloads_run_in_20_mb_of_two_workers(site: Path, serve: Serve, gather: Gather) -> None:
    """All stand still in mid-download, in both; the growth of the processes and the kernel's queues are the 20 MB."""
    server = serve(site, "--memory", "20MB", "--workers", "2", *PATIENT, admin=True)
    crowd = gather(server)
    crowd.join(Group(name="before", count=20, targets=GIANT, stall=64 * KIB, receive=RECEIVE))
    crowd.wait_count("before", "stalled", 20)
    serving = list(workers_of(server))  # asked once: what is allocated for the answer is not for clients
    assert len(serving) == 2
    crowd.end("before")
    until(lambda: server.gate()["running"] == 0, "all have ended")
    gauge, of_workers = Gauge(server, [server.pid, *serving]), Gauge(server, serving)

    def look() -> None:
        gauge.look()
        of_workers.look()

    crowd.join(Group(name="all", count=500, targets=GIANT, span=2048 * KIB, stall=1200 * KIB, receive=RECEIVE))
    crowd.wait_count("all", "stalled", 500, look)
    gauge.settle()
    print(f"500 that stand still in two workers: {gauge}; at last {gauge.look()}")
    assert gauge.peak <= 20 * MB
    # From here on the supervisor does not count: what answers has it in common with a page until it writes to that,
    # and then the page is the supervisor's alone, which has not grown.
    assert server.gate()["running"] == 500
    assert min(workers_of(server).values()) >= 200
    crowd.go("all")
    crowd.wait_count("all", "whole", 500, of_workers.look)
    print(f"then they go on: {of_workers}")
    assert of_workers.peak <= 20 * MB


def test_two_workers_have_exactly_the_slots_of_one_budget(site: Path, serve: Serve, gather: Gather) -> None:
    """Not twice as many, and not half: so many run, and whoever comes then waits."""
    server = serve(site, "--memory", "4MB", "--workers", "2", "--max-wait", "10m", *PATIENT, admin=True)
    slots, crowd = server.gate()["slots"], gather(server)
    still = {"targets": GIANT, "span": 2048 * KIB, "stall": 1200 * KIB, "receive": RECEIVE}
    crowd.join(Group(name="all", count=slots, **still))
    crowd.wait_count("all", "stalled", slots)
    crowd.join(Group(name="late", count=8, **still))
    until(lambda: server.gate()["waiting"] == 8, "whoever comes then waits")
    assert server.gate()["running"] == slots
    crowd.go("all")
    crowd.wait_count("late", "stalled", 8)
    crowd.wait_count("all", "whole", slots)


def test_a_worker_killed_20_times_takes_no_slot_with_it(site: Path, serve: Serve, gather: Gather) -> None:
    """Who runs in the other goes on to the right end; afterwards all slots are there again, and no count went back."""
    terms = ("--memory", "20MB", "--workers", "2", "--max-wait", "10m", *PATIENT)
    server = serve(site, *terms, admin=True, within=(sys.executable, IMPATIENT))
    crowd = gather(server)
    steady = Group(name="steady", count=20, targets=GIANT, pace=512 * KIB, receive=RECEIVE)
    crowd.join(steady)
    crowd.wait_count("steady", "running", 20)
    spared = max(workers_of(server).items(), key=lambda each: each[1])[0]
    kept = workers_of(server)[spared]
    crowd.join(Group(name="load", count=200, targets=GIANT, span=1280 * KIB, receive=RECEIVE, again=True))
    sent = 0
    for restarts in range(1, 21):
        until(lambda: len(workers_of(server)) == 2, "both run downloads")
        victim = next(pid for pid in workers_of(server) if pid != spared)
        os.kill(victim, signal.SIGKILL)
        until(lambda restarts=restarts: server.status()["workers"]["restarts_total"] == restarts, "it is replaced")
        until(lambda: server.status()["workers"]["running"] == 2, "both serve")
        before, sent = sent, server.status()["transfers"]["bytes_total"]
        assert sent >= before
    crowd.end("load")
    crowd.go("steady")
    crowd.wait(lambda: crowd.counts("steady")["whole"] >= kept, "those of the spared worker are whole")
    until(lambda: server.gate()["running"] == server.gate()["waiting"] == 0, "nobody runs")
    until(lambda: grown(server) <= 2 << 20, "what the load has left went back")
    crowd.join(Group(name="last", count=500, targets=GIANT, span=2048 * KIB, stall=1200 * KIB, receive=RECEIVE))
    crowd.wait_count("last", "stalled", 500)
    assert server.gate()["running"] == 500
