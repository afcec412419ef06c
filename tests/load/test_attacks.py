"""Clients that waste the server's time or memory."""

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

from freight.tools.sample import verify
from support.load_generator import Again, CheckedLoad, Group
from support.memory_gauges import KIB, MB, Gauge
from support.processes import running
from support.servers import Client, Response, Serve, ServerProcess, wait_until

StartLoad = Callable[..., CheckedLoad]

ROOT = Path(__file__).parent.parent.parent
ATTACK_SECONDS = 1.5
HONEST_SECONDS = 0.02  # between two requests of the honest client
# The longest time for a small file, on a machine where the attackers use one core. Attacks that work cause more.
MOST_SECONDS = 1.0
BLOCKED = (
    "windows",
    "streams",
    "settings-churn",
    "window-of",
    "priority-update",
    "slow-readers",
)  # those of large responses


def test_slow_heads_and_slow_readers_do_not_stop_an_honest_client_or_take_memory(
    site: Path, serve: Serve, start_load: StartLoad
) -> None:
    """1,000 clients send a byte of a head now and then, and reconnect. 200 read almost nothing until aborted."""
    timeouts = ("--idle-timeout", "3s", "--pause-timeout", "none")
    server = serve(site, "--memory", "20MB", "--min-rate", "8KiB/s", *timeouts, admin=True)
    gauge, crowd = Gauge(server), start_load(server)
    crowd.join(Group(name="heads", count=1000, targets=("/small.csv",), drip=1.0, again=Again.ALWAYS))
    crowd.join(Group(name="readers", count=100, targets=("/giant.csv",), pace=1, receive=4 * KIB))
    # These never stall: they are aborted because of the minimum rate.
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
    wait_until(lambda: server.gate()["running"] == 0, "no slot is held")


def test_10000_downloads_of_one_address_at_once_are_all_served(site: Path, serve: Serve, start_load: StartLoad) -> None:
    """There are fewer slots. A third stalls for two seconds. All complete, and another client does not wait."""
    count = 10_000
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < count + 200:
        pytest.skip(f"{count} connections need that many descriptors (ulimit -Hn)")
    options = ("--memory", "200MB", "--queue-size", "10000", "--queue-timeout", "10m", "--idle-timeout", "10m")
    server = serve(site, *options, "--min-rate", "none", admin=True)
    gauge, crowd, waits = Gauge(server), start_load(server), list[float]()
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


def ask(server: ServerProcess, kept: Client) -> list[tuple[float, Response]]:
    """Request a small file on a new connection and on ``kept``. Return how long each took."""

    def by(client: Client, began: float) -> tuple[float, Response]:
        client.get("/small.csv")
        answer = client.read_response()
        return time.monotonic() - began, answer

    began = time.monotonic()
    with server.connect() as fresh:
        return [by(fresh, began), by(kept, time.monotonic())]


@pytest.mark.parametrize(("connections", "reconnect"), [(10, "when_ended"), (10, "after_each")])
@pytest.mark.parametrize("name", [name for name in ATTACKS if "handshake" not in name])
def test_an_attack_does_not_delay_an_honest_client(
    site: Path, serve: Serve, name: str, connections: int, reconnect: str
) -> None:
    """The honest client has the attacker's address, and so shares its account.

    ``./scripts/bench attack`` measures how long it waits. Attackers that reconnect continuously overflow the kernel's
    backlog. A client's kernel then retries after a second (tcp_syn_retries, tcp(7)).
    """
    server = serve(site, "--memory", "64MB", admin=True)
    gauge, seconds = Gauge(server), []
    path = "/giant.csv" if any(word in name for word in BLOCKED) else "/small.csv"
    options = ("--connections", str(connections), "--reconnect", reconnect, "--path", path)
    command = [sys.executable, "-m", "benchmarks.attacks", name, "127.0.0.1", str(server.port), *options]
    with server.connect() as kept:
        assert all(answer.status == 200 for _, answer in ask(server, kept))
        timed = [*command, "--seconds", str(ATTACK_SECONDS)]
        with running(timed, cwd=ROOT, stdout=subprocess.PIPE, text=True) as attack:
            if name != "connect-and-close":  # these connections are too short to be seen
                wait_until(lambda: server.status()["connections"]["open"] > 1, "the attack has begun")
            while attack.poll() is None:
                fresh, known = ask(server, kept)
                assert (fresh[1].status, known[1].status) == (200, 200)
                seconds += [known[0]] if reconnect == "after_each" else [fresh[0], known[0]]
                gauge.look()
                time.sleep(HONEST_SECONDS)  # the request rate, and no wait for a condition
            report = attack.communicate(timeout=20)[0]
    middle, most = 1000 * statistics.median(seconds), 1000 * max(seconds)
    print(f"{name} by {connections}, {reconnect}: {middle:.1f} ms, at most {most:.0f}; {json.loads(report)}; {gauge}")
    assert max(seconds) < MOST_SECONDS
    assert gauge.peak <= 64 * MB
