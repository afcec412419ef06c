"""Pipelined requests whose answers nobody reads: the memory for them is bounded, and is released."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from freight.memory.costs import FAST_WINDOW
from support.memory_gauges import KIB, send_queues, socket_memory
from support.servers import Client, Serve, ServerProcess, wait_until

RECEIVE_BYTES = 16 * KIB
"""What the kernel may hold of one client's bytes, its bookkeeping included."""

REQUESTS = 1 << 20
"""How many bytes of requests a client sends: far more than the server may read."""

PROCESS_BYTES = 256 * KIB
"""By how much a process may grow with its first requests, which are many: far less than their size."""

TARGETS = ("/huge.bin", "/small.bin", "/nothing")


class Pipeline(NamedTuple):
    """A client of a server whose process had ``baseline_bytes`` before."""

    server: ServerProcess
    client: Client
    baseline_bytes: int


@pytest.fixture
def site(huge: Path) -> Path:
    (huge.parent / "small.bin").write_bytes(bytes(10_000))
    return huge.parent


@pytest.fixture
def pipeline(site: Path, serve: Serve, request: pytest.FixtureRequest) -> Iterator[Pipeline]:
    """Return a client that reads nothing, and has sent all the requests that both kernels take."""
    server = serve(site, "--idle-timeout", "3s", "--pause-timeout", "none")
    baseline = server.private_bytes()
    with server.connect(receive_bytes=4096) as client:
        one = f"GET {request.param} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        client.socket.setblocking(False)
        left = one * (REQUESTS // len(one))
        sent, stands = -1, 0

        def stuck() -> bool:
            """Return whether no byte was sent for some tries."""
            nonlocal left, sent, stands
            try:
                left = left[client.socket.send(left) :]
            except BlockingIOError:
                pass
            stands = stands + 1 if len(left) == sent else 0
            sent = len(left)
            return stands > 20

        wait_until(stuck, "no more requests can be sent")
        yield Pipeline(server, client, baseline)


def cpu_seconds(server: ServerProcess) -> float:
    """Return the process's CPU time in seconds, in user and kernel mode, with a resolution of 10 ms."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.mark.parametrize("pipeline", TARGETS, indirect=True)
def test_of_requests_that_are_not_read_yet_the_kernel_holds_16_kib(pipeline: Pipeline) -> None:
    (memory,) = socket_memory(pipeline.server)
    assert 0 < memory.rmem_alloc <= memory.rcvbuf <= RECEIVE_BYTES


@pytest.mark.parametrize("pipeline", TARGETS, indirect=True)
def test_a_pipeline_whose_answers_nobody_reads_holds_one_window_and_is_ended_by_the_idle_timeout(
    pipeline: Pipeline,
) -> None:
    server = pipeline.server
    (queued,) = send_queues(server)
    assert 0 < queued <= FAST_WINDOW
    spent = cpu_seconds(server)
    server.wait_for_log(" stalled")
    # A busy loop would spend seconds. A check now and then costs too little to be seen here.
    assert cpu_seconds(server) - spent <= 0.5
    assert server.private_bytes() <= pipeline.baseline_bytes + PROCESS_BYTES
    wait_until(lambda: not send_queues(server), "the connection is gone")
    with pytest.raises(ConnectionResetError):
        pipeline.client.read_to_end()
