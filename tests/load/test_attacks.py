"""Clients that want nothing but the server's patience."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from benchmarks.attacks import ATTACKS

from crowds import Crowd, Group
from freight.sample import verify
from gauges import KIB, MB, Gauge
from serving import Answer, Client, Served, until

Serve = Callable[..., Served]
Gather = Callable[..., Crowd]

ROOT = Path(__file__).parent.parent.parent
ATTACK_SECONDS = 1.5
HONEST_SECONDS = 0.02  # between two requests of the honest client
MOST_SECONDS = (
    1.0  # any small file may take, on a machine that the attackers have a core of; attacks that work take more
)
BLOCKED = ("windows", "streams", "settings-churn", "window-of", "priority-update", "slow-readers")  # of large answers


@pytest.mark.needs("ss")
def test_slow_heads_and_slow_readers_neither_stop_an_honest_client_nor_take_memory(
    site: Path, serve: Serve, gather: Gather
) -> None:
    """1,000 send a byte of a head now and then, and come again; 200 read next to nothing, until they are let go."""
    server = serve(site, "--memory", "20MB", "--min-rate", "8KiB/s", "--idle-timeout", "3s", admin=True)
    gauge, crowd = Gauge(server), gather(server)
    crowd.join(Group(name="heads", count=1000, targets=("/small.csv",), drip=1.0, again=True))
    crowd.join(Group(name="readers", count=100, targets=("/giant.csv",), pace=1, receive=4 * KIB))
    # These never stand still: it is for the rate that they are let go.
    crowd.join(Group(name="crawlers", count=100, targets=("/giant.csv",), pace=1500, receive=4 * KIB))
    crowd.wait(lambda: crowd.counts("readers")["running"] > 0, "the slow readers have begun", gauge.look)
    size = 4 << 20
    for number in range(10):
        answer = server.get("/giant.csv", f"Range: bytes={number * size}-{(number + 1) * size - 1}")
        assert answer.status == 206 and verify(answer.content, number * size)
        gauge.look()
    crowd.wait_count("readers", "cut", 100, gauge.look)
    crowd.wait_count("crawlers", "cut", 100, gauge.look)
    crowd.wait_count("heads", "408", 1000, gauge.look)
    assert server.get("/small.csv").status == 200
    print(f"1,000 slow heads and 200 slow readers: {gauge}")
    assert gauge.peak <= 20 * MB
    until(lambda: server.gate()["running"] == 0, "no place is held")


@pytest.mark.needs("ss")
def test_10000_downloads_of_one_address_at_once_are_no_attack(site: Path, serve: Serve, gather: Gather) -> None:
    """More than there are slots: a third stalls for two seconds. All get theirs, and another client does not wait."""
    count = 10_000
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < count + 200:
        pytest.skip(f"{count} connections need that many descriptors (ulimit -Hn)")
    options = ("--memory", "200MB", "--queue", "10000", "--max-wait", "10m", "--idle-timeout", "10m")
    server = serve(site, *options, "--min-rate", "none", admin=True)
    gauge, crowd, waits = Gauge(server), gather(server), list[float]()
    large = {"targets": ("/giant.csv",), "span": 1280 * KIB, "receive": 64 * KIB}
    crowd.join(Group(name="run", count=count * 2 // 3, **large))
    crowd.join(Group(name="stall", count=count - count * 2 // 3, stall=128 * KIB, hold=2.0, **large))

    def look() -> None:
        gauge.look()
        began = time.monotonic()
        assert server.get("/small.csv").status == 200
        waits.append(time.monotonic() - began)

    most = 0

    def ended() -> bool:
        nonlocal most
        most = max(most, int(server.gate()["waiting"]))
        return sum(crowd.counts(name)[at] for name in ("run", "stall") for at in ("whole", "cut", "503")) == count

    crowd.wait(ended, "all have ended", look, seconds=120)
    print(f"10,000 at once, of which {most} waited: {gauge}; another waited {max(waits):.2f} s at most")
    assert crowd.counts("run") + crowd.counts("stall") == {"whole": count}
    assert most > 0


def ask(server: Served, kept: Client) -> list[tuple[float, Answer]]:
    """A small file by a new connection, and by one that was there before: how long each took."""

    def by(client: Client, began: float) -> tuple[float, Answer]:
        client.get("/small.csv")
        answer = client.answer()
        return time.monotonic() - began, answer

    began = time.monotonic()
    with server.connect() as fresh:
        return [by(fresh, began), by(kept, time.monotonic())]


@pytest.mark.needs("ss")
@pytest.mark.parametrize(("connections", "reconnect"), [(10, "when_ended"), (10, "after_each")])
@pytest.mark.parametrize("name", [name for name in ATTACKS if "handshake" not in name])
def test_an_attack_keeps_no_honest_client_waiting(
    site: Path, serve: Serve, name: str, connections: int, reconnect: str
) -> None:
    """The honest client is of the attacker's address: it shares its account, and what is behind that.

    How long it waits exactly is for ``./scripts/bench attack`` to say. Attackers that connect again and again overflow
    the kernel's backlog: a client's own kernel then tries again after a second (tcp_syn_retries, tcp(7)).
    """
    server = serve(site, "--memory", "64MB", admin=True)
    gauge, taken = Gauge(server), []
    path = "/giant.csv" if any(word in name for word in BLOCKED) else "/small.csv"
    options = ("--connections", str(connections), "--reconnect", reconnect, "--path", path)
    command = [sys.executable, "-m", "benchmarks.attacks", name, "127.0.0.1", str(server.port), *options]
    with server.connect() as kept:
        assert all(answer.status == 200 for _, answer in ask(server, kept))
        attack = subprocess.Popen(
            [*command, "--seconds", str(ATTACK_SECONDS)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        try:
            if name != "connect-and-close":  # whose connections are hardly seen
                until(lambda: server.status()["connections"]["open"] > 1, "the attack has begun")
            while attack.poll() is None:
                fresh, known = ask(server, kept)
                assert (fresh[1].status, known[1].status) == (200, 200)
                taken += [known[0]] if reconnect == "after_each" else [fresh[0], known[0]]
                gauge.look()
                time.sleep(HONEST_SECONDS)  # a pace, which is not what is awaited
        finally:
            attack.kill()
            told = attack.communicate(timeout=20)[0]
    middle, most = 1000 * statistics.median(taken), 1000 * max(taken)
    print(f"{name} by {connections}, {reconnect}: {middle:.1f} ms, at most {most:.0f}; {json.loads(told)}; {gauge}")
    assert max(taken) < MOST_SECONDS
    assert gauge.peak <= 64 * MB
