"""Real programs at a server that is full or killed: all of them get their file in the end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from programs import LARGE_BYTES, digest, make_content, start, written

from support.ports import free_port
from support.servers import Client, Serve, ServerProcess, wait_until

pytestmark = pytest.mark.needs("curl", "wget", "aria2c")

# About 50 slots. Stalled clients keep their slots.
FEW = ("--memory", "2MB", "--idle-timeout", "10m", "--min-rate", "none")

RETRYING = {
    "curl": ("curl", "-q", "-sSf", "--noproxy", "*", "--retry", "20", "-o"),
    "wget": ("wget", "--no-proxy", "--tries=20", "--retry-on-http-error=503", "--waitretry=1", "-O"),
    "aria2c": ("aria2c", "--no-conf", "--all-proxy=", "--max-tries=20", "--retry-wait=1", "-o"),
}
RESUMING = {
    "curl": ("curl", "-q", "-sSf", "--noproxy", "*", "-C", "-", "-o"),
    "wget": ("wget", "--no-proxy", "--tries=1", "-c", "-O"),
    "aria2c": ("aria2c", "--no-conf", "--all-proxy=", "--max-tries=1", "-c", "-o"),
}
# So slow that none has all of it before the server is full.
SLOW = {
    "curl": ("--limit-rate", "1M"),
    "wget": ("--limit-rate=1m",),
    "aria2c": ("--max-download-limit=1M",),
}


@pytest.fixture
def stall() -> Iterator[Callable[[ServerProcess, int], list[Client]]]:
    """Return a function that starts clients which request the large file and never read: they fill slots and queue."""
    with ExitStack() as stack:

        def ask(server: ServerProcess, count: int) -> list[Client]:
            clients = [stack.enter_context(server.connect(receive_bytes=4096)) for _ in range(count)]
            for client in clients:
                client.get("/large.bin")
            return clients

        yield ask


def running_or_waiting(status: dict[str, Any]) -> int:
    """Return how many downloads run or wait."""
    admission = status["admission"]
    return int(admission["running"] + admission["waiting"])


def test_programs_that_are_refused_retry_and_get_their_file(
    serve: Serve, there: Path, here: Path, stall: Callable[[ServerProcess, int], list[Client]]
) -> None:
    """All slots are taken: all three programs get Retry-After, and later their file."""
    expected = make_content(there / "large.bin", 8 << 20)
    server = serve(there, *FEW, "--queue-size", "20", "--queue-timeout", "1s", admin=True)
    for _ in range(100):  # so that the server can estimate Retry-After
        server.get("/large.bin", "Range: bytes=0-1999999")
    # A few more than there are slots, so that all are taken. Of many at once, connections would wait to be accepted:
    # then requests are rejected although slots are free.
    stalled = stall(server, server.gate()["slots"] + 3)
    server.wait_for_log("503", count=3)
    refused = server.get("/large.bin")
    assert refused.status == 503
    assert refused.fields["retry-after"].isdecimal()
    clients = [
        start(*command, f"{name}-{number}", f"http://127.0.0.1:{server.port}/large.bin?{name}", within=here)
        for name, command in RETRYING.items()
        for number in range(12)
    ]
    for name in RETRYING:
        server.wait_for_log(f"/large.bin?{name}", "503")
    for client in stalled:
        client.reset()
    assert [client.wait(60) for client in clients] == [0] * len(clients)
    assert [digest(path) for path in here.iterdir()] == [expected] * len(clients)


def test_downloads_resume_after_a_full_server_was_killed(
    serve: Serve, there: Path, here: Path, stall: Callable[[ServerProcess, int], list[Client]]
) -> None:
    """Running and queued downloads fail; then each program gets the right file from the next server."""
    expected = make_content(there / "large.bin", LARGE_BYTES)
    server = serve(there, *FEW, "--queue-timeout", "10m", "--port", str(free_port()), admin=True)
    url = f"http://127.0.0.1:{server.port}/large.bin"
    slow = {name: (*command[:-1], *SLOW[name], command[-1]) for name, command in RESUMING.items()}
    ran = {name: start(*command, f"{name}-ran", url, within=here) for name, command in slow.items()}
    wait_until(lambda: all(written(here / f"{name}-ran") > 1 << 20 for name in ran), "first parts")
    slots = server.gate()["slots"]
    stall(server, slots - 3)  # no more: where connections wait to be accepted, queued requests are rejected
    server.status_when(lambda found: running_or_waiting(found) == slots, "all slots are taken")
    waited = {name: start(*command, f"{name}-waited", url, within=here) for name, command in slow.items()}
    server.status_when(lambda found: running_or_waiting(found) == slots + 3, "all run or wait")
    server.signal(signal.SIGKILL)
    server.wait()
    assert all(client.wait(60) != 0 for client in [*ran.values(), *waited.values()])
    assert all(written(here / f"{name}-ran") > 0 for name in ran)
    again = serve(there, "--port", str(server.port))
    assert again.port == server.port
    ends = [start(*RESUMING[name], f"{name}-{what}", url, within=here) for name in ran for what in ("ran", "waited")]
    assert [end.wait(60) for end in ends] == [0] * 6
    assert {digest(path) for path in here.iterdir()} == {expected}
    again.wait_for_log('range="bytes=', "206", count=3)
