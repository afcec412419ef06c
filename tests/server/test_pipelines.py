"""Requests that nobody waits for the answers of: what the kernel and the process hold for them is bounded, and ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from freight.flow.budget import FAST_WINDOW
from gauges import KIB, send_queues, socket_memory
from serving import Client, Served, until

Serve = Callable[..., Served]

RECEIVE_BYTES = 16 * KIB
"""What the kernel may hold of what one client has sent, its bookkeeping included."""

REQUESTS = 1 << 20
"""How much of requests a client has to send, in bytes: far more than the server may take of it."""

PROCESS_BYTES = 256 * KIB
"""What a process may grow by that has had no requests before and now has many: far less than they are."""

TARGETS = ("/huge.bin", "/small.bin", "/nothing")


class Pipeline(NamedTuple):
    """A client of a server, whose process had ``baseline_bytes`` of its own before."""

    server: Served
    client: Client
    baseline_bytes: int


@pytest.fixture
def site(huge: Path) -> Path:
    (huge.parent / "small.bin").write_bytes(bytes(10_000))
    return huge.parent


@pytest.fixture
def pipeline(site: Path, serve: Serve, request: pytest.FixtureRequest) -> Iterator[Pipeline]:
    """A client that reads nothing, and has sent all the requests that its kernel and the server's take."""
    server = serve(site, "--idle-timeout", "3s")
    baseline = server.private_bytes()
    with server.connect(receive_bytes=4096) as client:
        one = f"GET {request.param} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        client.socket.setblocking(False)
        left = one * (REQUESTS // len(one))
        sent, stands = -1, 0

        def stuck() -> bool:
            """Whether nothing has gone for some looks."""
            nonlocal left, sent, stands
            try:
                left = left[client.socket.send(left) :]
            except BlockingIOError:
                pass
            stands = stands + 1 if len(left) == sent else 0
            sent = len(left)
            return stands > 20

        until(stuck, "no more requests can be sent")
        yield Pipeline(server, client, baseline)


def cpu_seconds(server: Served) -> float:
    """What the process has spent, in user and kernel mode, to a hundredth."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.mark.needs("ss")
@pytest.mark.parametrize("pipeline", TARGETS, indirect=True)
def test_of_requests_that_are_not_read_yet_the_kernel_holds_16_kib(pipeline: Pipeline) -> None:
    (memory,) = socket_memory(pipeline.server)
    assert 0 < memory["r"] <= memory["rb"] <= RECEIVE_BYTES


@pytest.mark.needs("ss")
@pytest.mark.parametrize("pipeline", TARGETS, indirect=True)
def test_a_pipeline_whose_answers_nobody_reads_holds_one_window_and_is_ended_by_the_idle_timeout(
    pipeline: Pipeline,
) -> None:
    server = pipeline.server
    (queued,) = send_queues(server)
    assert 0 < queued <= FAST_WINDOW
    spent = cpu_seconds(server)
    server.await_log(" stalled")
    # Who tries again and again spends seconds of it; a look now and then costs nothing that could be seen here.
    assert cpu_seconds(server) - spent <= 0.5
    assert server.private_bytes() <= pipeline.baseline_bytes + PROCESS_BYTES
    until(lambda: not send_queues(server), "the connection is gone")
    with pytest.raises(ConnectionResetError):
        pipeline.client.rest()
