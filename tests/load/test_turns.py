"""Who runs, who waits: fair turns, small answers that do not stand behind huge ones, places that are never lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from crowds import Crowd, Group
from freight.sample import verify
from gauges import KIB
from serving import Served, until

Serve = Callable[..., Served]
Gather = Callable[..., Crowd]

# Some forty places, and room for a few who wait; who stands still in this module is meant to, and who waits may.
FEW = ("--memory", "2MB", "--idle-timeout", "10m", "--min-rate", "none", "--max-wait", "10m")
GIANT = ("/giant.csv",)
GIVEN_UP = 3  # places at most until one is another's: one has been measured
LARGE = 2 << 20  # bytes: more than all buffers on its way hold, and no small answer
STILL = {"targets": GIANT, "span": LARGE, "stall": 128 * KIB, "receive": 64 * KIB}


def inside(server: Served) -> int:
    """How many run or wait."""
    gate = server.gate()
    return int(gate["running"] + gate["waiting"])


def asked(crowd: Crowd, name: str) -> int:
    """How many of a group have asked, whatever has come of it."""
    return sum(crowd.counts(name)[at] for at in ("asking", "running", "stalled", "whole", "503", "cut"))


def has_come(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition holds in the end."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def takes_a_large_answer(server: Served) -> bool:
    """Whether a new download runs, and is right."""
    answer = server.get("/giant.csv", f"Range: bytes=0-{LARGE - 1}")
    return answer.status == 206 and verify(answer.content, 0)


def test_a_client_with_64_connections_gets_no_more_turns_than_one_with_1(
    site: Path, serve: Serve, gather: Gather
) -> None:
    """By the count of whole downloads each of eight others has at least 0.8 of an even share."""
    server = serve(site, *FEW, "--memory", "20MB", admin=True)
    crowd = gather(server)
    slow = {"targets": GIANT, "span": LARGE, "pace": 20 * KIB, "receive": 32 * KIB}
    crowd.join(Group(name="slow", count=550, sources=("127.0.0.20",), **slow))
    crowd.wait(lambda: asked(crowd, "slow") == 550, "all have asked")
    until(lambda: inside(server) == 550 and server.gate()["waiting"] > 0, "all places are taken")
    crowd.end("slow", at="asking")
    until(lambda: server.gate()["waiting"] == 0, "nobody waits any more")
    download = {"targets": GIANT, "span": LARGE, "stall": 256 * KIB, "hold": 0.1, "receive": 64 * KIB, "again": True}
    crowd.join(Group(name="greedy", count=64, sources=("127.0.0.10",), **download))
    crowd.wait_count("greedy", "asking", 60)
    # A place is free, and then one more: where connections cost more than is reckoned it takes some that go.
    for _ in range(GIVEN_UP):
        crowd.end("slow", at="running", most=1)
        if has_come(lambda: crowd.counts("greedy")["asking"] < 64, seconds=2):
            break
    else:
        raise AssertionError(f"{GIVEN_UP} places were given up, and none of them has one")
    crowd.end("slow", at="running", most=1)
    modest = tuple(f"127.0.0.{number}" for number in range(2, 10))
    crowd.join(Group(name="modest", count=8, sources=modest, **download))
    already = crowd.whole_from("greedy")["127.0.0.10"]
    crowd.wait(lambda: len(crowd.whole_from("modest")) == 8, "each of the eight has had a first")
    counted = crowd.whole_from("modest")

    def turns() -> list[int]:
        return [crowd.whole_from("modest")[source] - counted[source] for source in modest]

    total = 108
    greedy = crowd.whole_from("greedy")["127.0.0.10"]
    crowd.wait(lambda: sum(turns()) + crowd.whole_from("greedy")["127.0.0.10"] - greedy >= total, "so many turns")
    had = turns()
    gate = server.gate()
    assert gate["waiting"] > 50
    print(f"{gate}: of {total} turns the eight had {had}; before them the other had had {already}")
    assert min(had) >= 0.8 * total / 9


@pytest.mark.parametrize(("memory", "count"), [("700kB", 40), ("20MB", 2000)])
@pytest.mark.parametrize("target", ["/small.csv", "/", "/giant.csv"])
def test_a_small_answer_does_not_stand_behind_giants(
    site: Path, serve: Serve, gather: Gather, target: str, memory: str, count: int
) -> None:
    """A small file, a listing, a small range: when each place has a download that stands still, and more wait."""
    server = serve(site, *FEW, "--queue", "2000", "--memory", memory, admin=True)
    crowd = gather(server)
    crowd.join(Group(name="giants", count=count, **STILL))
    crowd.wait(lambda: asked(crowd, "giants") == count, "all have asked")
    crowd.wait_count("giants", "stalled", int(server.gate()["running"]))
    assert crowd.counts("giants")["stalled"] < count
    answer = server.get(target, *(["Range: bytes=0-999"] if target == "/giant.csv" else []))
    assert answer.status in (200, 206)
    assert target == "/" or verify(answer.content, 0)
    assert crowd.counts("giants")["whole"] == 0


def test_giants_are_not_starved_by_a_storm_of_small_ones(site: Path, serve: Serve, gather: Gather) -> None:
    server = serve(site, *FEW, admin=True)
    crowd = gather(server)
    crowd.join(Group(name="small", count=100, targets=("/small.csv",), again=True))
    crowd.wait_count("small", "whole", 200)
    crowd.join(Group(name="giants", count=10, targets=GIANT, span=4 << 20))
    crowd.wait_count("giants", "whole", 10)
    assert crowd.counts("small")["503"] == 0


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
def test_one_that_waits_and_goes_leaves_its_place_at_once(
    site: Path, serve: Serve, gather: Gather, reset: bool
) -> None:
    server = serve(site, *FEW, "--queue", "1", admin=True)
    crowd = gather(server)
    slots = int(server.gate()["slots"])
    crowd.join(Group(name="giants", count=slots + 5, **STILL))  # one waits, and for the last ones there is no place
    crowd.wait(
        lambda: crowd.counts("giants")["stalled"] + crowd.counts("giants")["503"] == slots + 4, "places are taken"
    )
    assert server.gate()["waiting"] == 1
    crowd.end("giants", at="asking", reset=reset)
    until(lambda: bool(server.gate()["waiting"] == 0), "its place is free")
    running = int(server.gate()["running"])
    crowd.join(Group(name="next", count=1, **STILL))
    until(lambda: inside(server) == running + 1, "the next one has it, or runs: memory may have come back")
    assert crowd.counts("next")["503"] == 0


def storm(server: Served, crowd: Crowd, turn: int, reset: bool) -> None:
    """Clients come, and go in every phase of a download."""
    names = [f"{kind}-{turn}" for kind in ("still", "slow", "silent", "half", "waiting", "any")]
    still, slow, silent, half, waiting, whatever = names
    crowd.join(Group(name=still, count=30, **STILL))
    crowd.join(Group(name=slow, count=30, targets=GIANT, span=LARGE, pace=64 * KIB, receive=64 * KIB))
    crowd.join(Group(name=waiting, count=10, **STILL))
    crowd.wait(lambda: inside(server) == 70, "70 run or wait")
    assert server.gate()["waiting"] > 0
    crowd.join(Group(name=silent, count=5, targets=GIANT, head=0))
    crowd.join(Group(name=half, count=5, targets=GIANT, head=12))
    crowd.join(Group(name=whatever, count=100, targets=(*GIANT, "/small.csv"), again=True))
    crowd.wait(lambda: asked(crowd, whatever) >= 100, "all the others have asked")
    for name in names:
        crowd.end(name, reset=reset)


@pytest.mark.parametrize("reset", [False, True], ids=["close", "reset"])
def test_no_place_is_lost_whenever_clients_go(site: Path, serve: Serve, gather: Gather, reset: bool) -> None:
    """Silent, with half a head, waiting, reading, standing still, and in whatever they were just about to do."""
    server = serve(site, *FEW, admin=True)
    crowd = gather(server)
    assert takes_a_large_answer(server)
    until(lambda: inside(server) == 0, "nobody is there")
    descriptors = server.descriptors()
    for turn in range(3):
        storm(server, crowd, turn, reset)
        until(lambda: inside(server) == 0, "nobody is there any more")
        assert takes_a_large_answer(server)
    until(lambda: server.descriptors() <= descriptors, "no descriptor is left")


def test_a_drain_lets_the_running_finish_and_sends_the_waiting_on(site: Path, serve: Serve, gather: Gather) -> None:
    """Waiting ones get 503 with Retry-After, /readyz says so to who would send more; what is left is reset."""
    server = serve(site, *FEW, "--drain", "5s", admin=True)
    crowd = gather(server)
    crowd.join(Group(name="left", count=3, **STILL))
    crowd.wait_count("left", "stalled", 3)
    crowd.join(Group(name="others", count=60, **STILL))
    crowd.wait(
        lambda: asked(crowd, "others") == 60 and inside(server) == 63 - crowd.counts("others")["503"], "all asked"
    )
    running = server.gate()["running"] - 3
    assert server.gate()["waiting"] > 0
    crowd.wait_count("others", "stalled", running)
    assert server.ask_admin("/readyz").status == 200
    server.signal()
    crowd.wait_count("others", "503", 60 - running)
    assert server.ask_admin("/readyz").status == 503
    assert server.ask_admin("/healthz").status == 200
    crowd.go("others")
    crowd.wait_count("others", "whole", running)
    crowd.wait_count("left", "cut", 3)
    assert server.wait() == 0
    assert len([line for line in server.log if line.endswith(" drained")]) == 3
