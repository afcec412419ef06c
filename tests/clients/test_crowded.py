"""Real programs at a server that has no place for them now, or that is killed: they all get their file in the end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from programs import LARGE_BYTES, digest, make_content, start, written

from serving import Client, Served, until

pytestmark = pytest.mark.needs("curl", "wget", "aria2c")

Serve = Callable[..., Served]
# Some forty places, and room for a few who wait; the clients that stand still in them are meant to.
FEW = ("--memory", "2MB", "--idle-timeout", "10m", "--min-rate", "none")

RETRYING = {
    "curl": ("curl", "-q", "-sSf", "--noproxy", "*", "--retry", "20", "-o"),
    "wget": ("wget", "--no-proxy", "--tries=20", "--retry-on-http-error=503", "--waitretry=1", "-O"),
    "aria2c": ("aria2c", "--no-conf", "--all-proxy=", "--max-tries=20", "--retry-wait=1", "-o"),
}
RESUMING = {
    "curl": ("curl", "-q", "-sSf", "--noproxy", "*", "--limit-rate", "8M", "-C", "-", "-o"),
    "wget": ("wget", "--no-proxy", "--tries=1", "--limit-rate=8m", "-c", "-O"),
    "aria2c": ("aria2c", "--no-conf", "--all-proxy=", "--max-tries=1", "--max-download-limit=8M", "-c", "-o"),
}


@pytest.fixture
def stall() -> Iterator[Callable[[Served, int], list[Client]]]:
    """Clients that ask for the large file, and take nothing of it: in every place, and waiting for one."""
    with ExitStack() as stack:

        def ask(server: Served, count: int) -> list[Client]:
            clients = [stack.enter_context(server.connect(receive_bytes=4096)) for _ in range(count)]
            for client in clients:
                client.get("/large.bin")
            return clients

        yield ask


def test_who_is_told_to_come_later_comes_and_gets_it(
    serve: Serve, there: Path, here: Path, stall: Callable[[Served, int], list[Client]]
) -> None:
    """All places and the queue are full: all three are refused with Retry-After, and have their file at last."""
    expected = make_content(there / "large.bin", 8 << 20)
    server = serve(there, *FEW, "--queue", "20", "--max-wait", "1s")
    for _ in range(100):  # so that it knows how fast places come free, and says so
        server.get("/large.bin", "Range: bytes=0-1999999")
    still = stall(server, 80)
    server.await_log("503", count=10)
    refused = server.get("/large.bin")
    assert refused.status == 503
    assert refused.fields["retry-after"].isdecimal()
    clients = [
        start(*command, f"{name}-{number}", f"http://127.0.0.1:{server.port}/large.bin?{name}", within=here)
        for name, command in RETRYING.items()
        for number in range(12)
    ]
    for name in RETRYING:
        server.await_log(f"/large.bin?{name}", "503")
    for client in still:
        client.reset()
    assert [client.wait(60) for client in clients] == [0] * len(clients)
    assert [digest(path) for path in here.iterdir()] == [expected] * len(clients)


def test_a_server_killed_with_all_places_taken_is_resumed_from(
    serve: Serve, there: Path, here: Path, stall: Callable[[Served, int], list[Client]]
) -> None:
    """Those that ran see a failure, and so do those that waited; then each has the right file from the next server."""
    expected = make_content(there / "large.bin", LARGE_BYTES)
    server = serve(there, *FEW, "--max-wait", "10m", admin=True)
    url = f"http://127.0.0.1:{server.port}/large.bin"
    ran = {name: start(*command, f"{name}-ran", url, within=here) for name, command in RESUMING.items()}
    until(lambda: all(written(here / f"{name}-ran") > 1 << 20 for name in ran), "first parts")
    stall(server, 60)
    waited = {name: start(*command, f"{name}-waited", url, within=here) for name, command in RESUMING.items()}
    until(lambda: sum(server.gate()[at] for at in ("running", "waiting")) == 66, "all run or wait")
    server.signal(signal.SIGKILL)
    server.wait()
    assert all(client.wait(60) != 0 for client in [*ran.values(), *waited.values()])
    assert all(written(here / f"{name}-ran") > 0 for name in ran)
    again = serve(there, "--port", str(server.port))
    assert again.port == server.port
    ends = [start(*RESUMING[name], f"{name}-{what}", url, within=here) for name in ran for what in ("ran", "waited")]
    assert [end.wait(60) for end in ends] == [0] * 6
    assert {digest(path) for path in here.iterdir()} == {expected}
    again.await_log('range="bytes=', "206", count=3)
