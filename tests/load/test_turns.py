"""Slots are granted in fair turns, small responses do not wait for huge ones, and no slot is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from freight.tools.sample import verify
from support.load_generator import Again, CheckedLoad, Group
from support.memory_gauges import KIB
from support.servers import Serve, ServerProcess, wait_until

StartLoad = Callable[..., CheckedLoad]

# About 40 slots, and memory for a few queued requests. Timeouts are long, because clients stall and wait on purpose.
FEW = ("--memory", "2MB", "--idle-timeout", "10m", "--min-rate", "none", "--queue-timeout", "10m")
GIANT = ("/giant.csv",)
FREED_SLOTS = 3  # at most, until another client has one: 1 was measured
LARGE = 2 << 20  # bytes: no small response, and more than all buffers on the path hold
STALLED = {"targets": GIANT, "span": LARGE, "stall": 128 * KIB, "receive": 64 * KIB}


def admitted(server: ServerProcess) -> int:
    """Return how many requests run or wait."""
    gate = server.gate()
    return int(gate["running"] + gate["waiting"])


def asked(crowd: CheckedLoad, name: str) -> int:
    """Return how many of a group have sent a request, whatever became of it."""
    return crowd.count(name, "asking", "running", "stalled", "whole", "503", "cut")


def becomes_true(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait at most ``seconds`` for a condition. Return whether it holds."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def serves_a_large_range(server: ServerProcess) -> bool:
    """Return whether a new download completes with the right bytes."""
    answer = server.get("/giant.csv", f"Range: bytes=0-{LARGE - 1}")
    return answer.status == 206 and verify(answer.content, 0)


def free_one_slot(crowd: CheckedLoad) -> None:
    """End running downloads of the group "slow" until one of "greedy" gets a slot, and completes."""
    # More than one slot may have to be freed, where connections cost more than estimated.
    for _ in range(FREED_SLOTS):
        before = crowd.counts("greedy")["whole"]
        crowd.end("slow", at="running", most=1)
        if becomes_true(lambda before=before: crowd.counts("greedy")["whole"] > before, seconds=2):
            return
    raise AssertionError(f"{FREED_SLOTS} slots were freed, and no waiting client got one")


def test_a_client_with_64_connections_gets_no_more_slots_than_a_client_with_one(
    site: Path, serve: Serve, start_load: StartLoad
) -> None:
    """Each of eight other clients completes at least 0.8 of an equal share of the downloads."""
    server = serve(site, *FEW, "--memory", "20MB", admin=True)
    crowd = start_load(server)
    slow = {"targets": GIANT, "span": LARGE, "pace": 20 * KIB, "receive": 32 * KIB}
    crowd.join(Group(name="slow", count=550, sources=("127.0.0.20",), **slow))
    crowd.wait(lambda: asked(crowd, "slow") == 550, "all have asked")
    wait_until(lambda: admitted(server) == 550 and server.gate()["waiting"] > 0, "all slots are taken")
    crowd.end("slow", at="asking")
    wait_until(lambda: server.gate()["waiting"] == 0, "no request waits any more")
    download = {"targets": GIANT, "span": LARGE, "stall": 256 * KIB, "hold": 0.1, "receive": 64 * KIB}
    download["again"] = Again.ALWAYS
    crowd.join(Group(name="greedy", count=64, sources=("127.0.0.10",), **download))
    crowd.wait_count("greedy", "asking", 60)
    free_one_slot(crowd)
    crowd.end("slow", at="running", most=1)
    modest = tuple(f"127.0.0.{number}" for number in range(2, 10))
    crowd.join(Group(name="modest", count=8, sources=modest, **download))
    already = crowd.whole_from("greedy")["127.0.0.10"]
    crowd.wait(lambda: len(crowd.whole_from("modest")) == 8, "each of the eight has completed one")
    counted = crowd.whole_from("modest")

    def turns() -> list[int]:
        return [crowd.whole_from("modest")[source] - counted[source] for source in modest]

    total = 108
    greedy = crowd.whole_from("greedy")["127.0.0.10"]
    crowd.wait(lambda: sum(turns()) + crowd.whole_from("greedy")["127.0.0.10"] - greedy >= total, f"{total} downloads")
    had = turns()
    gate = server.gate()
    assert gate["waiting"] > 50
    print(f"{gate}: of {total} downloads the eight had {had}; the other had {already} before")
    assert min(had) >= 0.8 * total / 9


@pytest.mark.parametrize(("memory", "count"), [("700kB", 40), ("20MB", 2000)])
@pytest.mark.parametrize("target", ["/small.csv", "/", "/giant.csv"])
def test_a_small_response_does_not_wait_for_huge_ones(
    site: Path, serve: Serve, start_load: StartLoad, target: str, memory: str, count: int
) -> None:
    """A small file, a listing and a small range, when every slot has a stalled download, and more wait."""
    server = serve(site, *FEW, "--queue-size", "2000", "--memory", memory, admin=True)
    crowd = start_load(server)
    crowd.join(Group(name="giants", count=count, **STALLED))
    crowd.wait(lambda: asked(crowd, "giants") == count, "all have asked")
    crowd.wait_count("giants", "stalled", int(server.gate()["running"]))
    assert crowd.counts("giants")["stalled"] < count
    answer = server.get(target, *(["Range: bytes=0-999"] if target == "/giant.csv" else []))
    assert answer.status in (200, 206)
    assert target == "/" or verify(answer.content, 0)
    assert crowd.counts("giants")["whole"] == 0


def test_huge_responses_are_not_starved_by_many_small_ones(site: Path, serve: Serve, start_load: StartLoad) -> None:
    server = serve(site, *FEW, admin=True)
    crowd = start_load(server)
    crowd.join(Group(name="small", count=100, targets=("/small.csv",), again=Again.ALWAYS))
    crowd.wait_count("small", "whole", 200)
    crowd.join(Group(name="giants", count=10, targets=GIANT, span=4 << 20))
    crowd.wait_count("giants", "whole", 10)
    assert crowd.counts("small")["503"] == 0


def join_until_one_waits(server: ServerProcess, crowd: CheckedLoad) -> int:
    """Start clients that stall, until all slots are taken and one waits. Return how many there are.

    One by one: if the memory does not suffice to accept another connection, a queue that does not move is shed.
    """
    count = int(server.gate()["slots"]) // 2
    crowd.join(Group(name="giants", count=count, **STALLED))
    while server.gate()["waiting"] == 0:
        count += 1
        crowd.join(Group(name="giants", count=1, **STALLED))
        wait_until(lambda count=count: admitted(server) == count, "the next one runs or waits")
    return count


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
def test_a_queued_request_whose_client_disconnects_leaves_the_queue_at_once(
    site: Path, serve: Serve, start_load: StartLoad, reset: bool
) -> None:
    server = serve(site, *FEW, "--queue-size", "1", admin=True)
    crowd = start_load(server)
    count = join_until_one_waits(server, crowd)
    crowd.wait_count("giants", "stalled", count - 1)
    crowd.end("giants", at="asking", reset=reset)
    wait_until(lambda: bool(server.gate()["waiting"] == 0), "the queue is empty")
    running = int(server.gate()["running"])
    crowd.join(Group(name="next", count=1, **STALLED))
    wait_until(lambda: admitted(server) == running + 1, "the next one waits, or runs if memory has come back")
    assert crowd.counts("next")["503"] == 0


def storm(server: ServerProcess, crowd: CheckedLoad, turn: int, reset: bool) -> None:
    """Start clients, and end them in every phase of a download."""
    names = [f"{kind}-{turn}" for kind in ("stalled", "slow", "silent", "half", "waiting", "any")]
    stalled, slow, silent, half, waiting, mixed = names
    crowd.join(Group(name=stalled, count=30, **STALLED))
    crowd.join(Group(name=slow, count=30, targets=GIANT, span=LARGE, pace=64 * KIB, receive=64 * KIB))
    crowd.join(Group(name=waiting, count=10, **STALLED))
    crowd.wait(lambda: admitted(server) == 70, "70 run or wait")
    assert server.gate()["waiting"] > 0
    crowd.join(Group(name=silent, count=5, targets=GIANT, head=0))
    crowd.join(Group(name=half, count=5, targets=GIANT, head=12))
    crowd.join(Group(name=mixed, count=100, targets=(*GIANT, "/small.csv"), again=Again.ALWAYS))
    crowd.wait(lambda: asked(crowd, mixed) >= 100, "all the others have asked")
    for name in names:
        crowd.end(name, reset=reset)


@pytest.mark.parametrize("reset", [False, True], ids=["close", "reset"])
def test_no_slot_is_lost_whenever_clients_disconnect(
    site: Path, serve: Serve, start_load: StartLoad, reset: bool
) -> None:
    """They are silent, have sent half a head, wait, read slowly, stall, or are at any other point."""
    server = serve(site, *FEW, admin=True)
    crowd = start_load(server)
    assert serves_a_large_range(server)
    wait_until(lambda: admitted(server) == 0, "no request is left")
    descriptors = server.descriptors()
    for turn in range(3):
        storm(server, crowd, turn, reset)
        wait_until(lambda: admitted(server) == 0, "no request is left")
        assert serves_a_large_range(server)
    wait_until(lambda: server.descriptors() <= descriptors, "no descriptor is left")


def test_a_drain_finishes_running_downloads_and_rejects_queued_requests(
    site: Path, serve: Serve, start_load: StartLoad
) -> None:
    """Queued requests get 503 with Retry-After, /readyz fails, and downloads that do not end are reset."""
    server = serve(site, *FEW, "--shutdown-timeout", "5s", admin=True)
    crowd = start_load(server)
    crowd.join(Group(name="left", count=3, **STALLED))
    crowd.wait_count("left", "stalled", 3)
    crowd.join(Group(name="others", count=60, **STALLED))
    crowd.wait(
        lambda: asked(crowd, "others") == 60 and admitted(server) == 63 - crowd.counts("others")["503"], "all asked"
    )
    assert server.gate()["waiting"] > 0
    assert server.ask_admin("/readyz").status == 200
    server.signal()
    # How many run is counted only now: until the signal, one more may get a slot when the process has shrunk.
    crowd.wait(lambda: crowd.count("others", "stalled", "503") == 60, "those that waited are rejected")
    running = crowd.counts("others")["stalled"]
    assert 0 < running < 60
    assert server.ask_admin("/readyz").status == 503
    assert server.ask_admin("/healthz").status == 200
    crowd.go("others")
    crowd.wait_count("others", "whole", running)
    crowd.wait_count("left", "cut", 3)
    assert server.wait() == 0
    assert len([line for line in server.log if line.endswith(" drained")]) == 3
