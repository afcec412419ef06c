"""Several workers together have the slots and the memory of one budget."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from support.load_generator import Again, CheckedLoad, Group
from support.memory_gauges import KIB, MB, Gauge
from support.servers import Serve, ServerProcess, wait_until
from support.worker_snapshots import server_processes

StartLoad = Callable[..., CheckedLoad]

PATIENT = ("--idle-timeout", "10m", "--min-rate", "none")  # clients stall on purpose
GIANT = ("/giant.csv",)
RECEIVE = 64 * KIB
IMPATIENT = str(Path(__file__).parents[1] / "support" / "fast_restarts.py")


def workers_of(server: ServerProcess) -> dict[int, int]:
    """Return how many downloads each worker runs, by pid."""
    running: dict[int, int] = {}
    for each in server.status()["transfers"]["running"]:
        running[each["worker"]] = running.get(each["worker"], 0) + 1
    return running


def wait_for_other_worker(server: ServerProcess, spared: int) -> int:
    """Return the pid of the worker besides ``spared``, from the first status in which it runs a download.

    The next status may have none of its downloads: they are short.
    """
    others: set[int] = set()

    def look() -> bool:
        others.update(workers_of(server).keys() - {spared})
        return bool(others)

    wait_until(look, "the other worker runs downloads")
    return others.pop()


def grown(server: ServerProcess) -> int:
    """Return by how much the workers have grown, from /status."""
    memory = server.status()["memory"]
    return int(memory["process_bytes"] - memory["baseline_bytes"])


def test_500_downloads_run_in_20_mb_of_two_workers(site: Path, serve: Serve, start_load: StartLoad) -> None:
    """All stall, in both workers. Growth of the processes and the kernel's queues together are within 20 MB."""
    server = serve(site, "--memory", "20MB", "--workers", "2", *PATIENT, admin=True)
    crowd = start_load(server)
    crowd.join(Group(name="before", count=20, targets=GIANT, stall=64 * KIB, receive=RECEIVE))
    crowd.wait_count("before", "stalled", 20)
    server.status()  # before the gauge: the response allocates memory that is not for clients
    serving = server_processes(server.pid)[:2]
    crowd.end("before")
    wait_until(lambda: server.gate()["running"] == 0, "all have ended")
    gauge, of_workers = Gauge(server, [server.pid, *serving]), Gauge(server, serving)

    def look() -> None:
        gauge.look()
        of_workers.look()

    crowd.join(Group(name="all", count=500, targets=GIANT, span=2048 * KIB, stall=1200 * KIB, receive=RECEIVE))
    crowd.wait_count("all", "stalled", 500, look)
    gauge.settle()
    print(f"500 stalled downloads in two workers: {gauge}; at last {gauge.look()}")
    assert gauge.peak <= 20 * MB
    # From here on the supervisor does not count. The process that answers /status shares its pages until it writes to
    # one. Then that page is the supervisor's alone, although it has not grown.
    assert server.gate()["running"] == 500
    assert min(workers_of(server).values()) >= 200
    crowd.go("all")
    crowd.wait_count("all", "whole", 500, of_workers.look)
    print(f"then they continue: {of_workers}")
    assert of_workers.peak <= 20 * MB


def test_two_workers_have_exactly_the_slots_of_one_budget(site: Path, serve: Serve, start_load: StartLoad) -> None:
    """Neither twice as many nor half: the requests after them wait."""
    server = serve(site, "--memory", "4MB", "--workers", "2", "--queue-timeout", "10m", *PATIENT, admin=True)
    slots, crowd = server.gate()["slots"], start_load(server)
    stalled = {"targets": GIANT, "span": 2048 * KIB, "stall": 1200 * KIB, "receive": RECEIVE}
    crowd.join(Group(name="all", count=slots, **stalled))
    crowd.wait_count("all", "stalled", slots)
    crowd.join(Group(name="late", count=8, **stalled))
    wait_until(lambda: server.gate()["waiting"] == 8, "later requests wait")
    assert server.gate()["running"] == slots
    crowd.go("all")
    crowd.wait_count("late", "stalled", 8)
    crowd.wait_count("all", "whole", slots)


def test_a_worker_that_is_killed_20_times_loses_no_slot(site: Path, serve: Serve, start_load: StartLoad) -> None:
    """Downloads of the other worker complete. Afterwards all slots are free again, and no counter has decreased."""
    terms = ("--memory", "20MB", "--workers", "2", "--queue-timeout", "10m", *PATIENT)
    server = serve(site, *terms, admin=True, within=(sys.executable, IMPATIENT))
    crowd = start_load(server)
    steady = Group(name="steady", count=20, targets=GIANT, pace=512 * KIB, receive=RECEIVE)
    crowd.join(steady)
    crowd.wait_count("steady", "running", 20)
    spared = max(workers_of(server).items(), key=lambda each: each[1])[0]
    kept = workers_of(server)[spared]
    crowd.join(Group(name="load", count=200, targets=GIANT, span=1280 * KIB, receive=RECEIVE, again=Again.ALWAYS))
    sent = 0
    for restarts in range(1, 21):
        os.kill(wait_for_other_worker(server, spared), signal.SIGKILL)
        wait_until(lambda restarts=restarts: server.status()["workers"]["restarts_total"] == restarts, "it is replaced")
        wait_until(lambda: server.status()["workers"]["running"] == 2, "both serve")
        before, sent = sent, server.status()["transfers"]["bytes_total"]
        assert sent >= before
    crowd.end("load")
    crowd.go("steady")
    crowd.wait(lambda: crowd.counts("steady")["whole"] >= kept, "those of the spared worker are whole")
    wait_until(lambda: server.gate()["running"] == server.gate()["waiting"] == 0, "no download runs")
    wait_until(lambda: grown(server) <= 2 << 20, "the memory of the load was returned")
    crowd.join(Group(name="last", count=500, targets=GIANT, span=2048 * KIB, stall=1200 * KIB, receive=RECEIVE))
    crowd.wait_count("last", "stalled", 500)
    assert server.gate()["running"] == 500
