"""Over a long path, a small budget does not make a download slow, and still holds."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import pytest

from freight.tools.loadgen.network import Network, Place, Unsupported, inside, long_link
from freight.tools.sample import write_sample
from support.load_generator import CheckedLoad, Group
from support.memory_gauges import KIB, MB, Gauge
from support.processes import running
from support.servers import TIMEOUT_SECONDS, Serve, find_program, wait_until

StartLoad = Callable[..., CheckedLoad]

ROUND_TRIP_MS, MBIT = 100, 400  # 5 MB are in flight
FILE_BYTES = 256 << 20  # more than the path carries in TURN_SECONDS
TURN_SECONDS = 4.0
LEAST_ROUNDS, MOST_ROUNDS = 2, 6
LEAST_OF_NGINX = 0.8
PORT = 8080  # in a network namespace of its own

_NGINX = """\
user root;
worker_processes 1;
pid {work}/nginx.pid;
error_log {work}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
    sendfile on;
    server {{ listen {host}:{port}; root {root}; }}
}}
"""


@pytest.fixture
def far() -> Iterator[Network]:
    """Return the two ends of a long path."""
    try:
        with long_link(ROUND_TRIP_MS, MBIT) as network:
            yield network
    except Unsupported as error:
        pytest.skip(f"a line cannot be made: {error}")


@contextmanager
def nginx(place: Place, root: Path, work: Path) -> Iterator[int]:
    """Run nginx on a directory. Yield its port."""
    config = work / "nginx.conf"
    config.write_text(_NGINX.format(work=work, host=place.host, port=PORT, root=root))
    words = [find_program("nginx") or "nginx", "-p", str(work), "-c", str(config), "-g", "daemon off;"]
    with ExitStack() as stack:
        with inside(place.namespace):
            stack.enter_context(running(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        wait_until(lambda: listens(place), "nginx listens")
        yield PORT


def listens(place: Place) -> bool:
    with place.socket() as trying:
        return trying.connect_ex((place.host, PORT)) == 0


def received_bytes(network: Network, port: int) -> int:
    """Return how many bytes one client has received after TURN_SECONDS, connecting included."""
    into = bytearray(1 << 20)
    count, until_then = 0, time.monotonic() + TURN_SECONDS
    with network.client.socket() as client:
        client.settimeout(TIMEOUT_SECONDS)
        client.connect((network.server.host, port))
        client.sendall(b"GET /giant.csv HTTP/1.1\r\nHost: far\r\n\r\n")
        while time.monotonic() < until_then:
            received = client.recv_into(into)
            assert received, "the download ended"
            count += received
        client.shutdown(socket.SHUT_RDWR)
    return count


@pytest.mark.needs("ip", "nginx")
def test_one_distant_client_of_a_small_budget_is_nearly_as_fast_as_one_of_nginx(
    far: Network, serve: Serve, tmp_path: Path
) -> None:
    """With nginx the kernel alone decides how much is in flight; with freight, a budget of 20 MB.

    On a busy machine the turns differ by a quarter, so two rounds that do not suffice are followed by more.
    """
    root, work = tmp_path / "root", tmp_path / "work"
    root.mkdir()
    work.mkdir()
    write_sample(root / "giant.csv", FILE_BYTES)
    server = serve(root, "--memory", "20MB", place=far.server)
    with nginx(far.server, root, work) as port:
        turns = list[tuple[int, int]]()
        theirs, ours = 1.0, 0.0
        while len(turns) < LEAST_ROUNDS or (ours < LEAST_OF_NGINX * theirs and len(turns) < MOST_ROUNDS):
            turns.append((received_bytes(far, port), received_bytes(far, server.port)))
            theirs, ours = (median(counts) for counts in zip(*turns, strict=True))
    print(f"in {TURN_SECONDS:g} s nginx {theirs / MB:.0f} MB, freight {ours / MB:.0f} MB; {turns}")
    assert ours >= LEAST_OF_NGINX * theirs


@pytest.mark.needs("ip")
def test_20_distant_clients_keep_within_20_mb_and_get_every_byte(
    far: Network, site: Path, serve: Serve, start_load: StartLoad
) -> None:
    """Their windows grow to equal shares of the memory, and not beyond in any reading until all have completed."""
    server = serve(site, "--memory", "20MB", admin=True, place=far.server)
    gauge, crowd = Gauge(server), start_load(server, far.client)
    crowd.join(Group(name="far", count=20, targets=("/giant.csv",), span=16 << 20))
    crowd.wait_count("far", "whole", 20, gauge.look)
    print(f"20 distant clients: {gauge}")
    assert gauge.peak <= 20 * MB
    assert gauge.peak_kernel >= 20 * 200 * KIB  # the windows of near clients


@pytest.mark.needs("ip")
def test_distant_clients_that_stall_with_large_windows_are_aborted_like_others(
    far: Network, site: Path, serve: Serve, start_load: StartLoad
) -> None:
    server = serve(
        site,
        "--memory",
        "64MiB",
        "--idle-timeout",
        "2s",
        "--pause-timeout",
        "none",
        "--min-rate",
        "none",
        admin=True,
        place=far.server,
    )
    gauge, crowd = Gauge(server), start_load(server, far.client)
    crowd.join(Group(name="far", count=4, targets=("/giant.csv",), stall=24 << 20, receive=1 << 20))
    crowd.wait_count("far", "stalled", 4, gauge.look)
    assert gauge.peak_kernel >= 4 * 420 * KIB  # more than the largest send buffer
    wait_until(lambda: server.gate()["running"] == 0, "all have been aborted")
    wait_until(lambda: gauge.look() <= 2 * MB, "their queues are gone")


@pytest.mark.needs("ip")
def test_the_loan_of_a_dead_path_comes_back_when_requests_wait(
    far: Network, site: Path, serve: Serve, start_load: StartLoad
) -> None:
    """The idle timeout is an hour, and shorter while requests wait."""
    server = serve(site, "--memory", "4MB", "--idle-timeout", "1h", "--min-rate", "none", admin=True, place=far.server)
    slots = server.gate()["slots"]
    gauge, distant, near = Gauge(server), start_load(server, far.client), start_load(server, far.server)
    distant.join(Group(name="far", count=1, targets=("/giant.csv",)))
    distant.wait(lambda: gauge.look() >= 1.2 * MB, "it has a third of the memory")
    far.cut()
    # 16 more than fit beside the loan. Many more would leave no memory to accept connections, and the queue is shed.
    stalled = min(slots - 1, slots - gauge.look() * slots // (4 * MB) + 16)
    # With a receive buffer that grows, a client's kernel may take all that follows, and the client ends.
    near.join(
        Group(name="stalled", count=stalled, targets=("/giant.csv",), span=4 << 20, stall=1 << 20, receive=64 * KIB)
    )
    near.join(Group(name="waiting", count=4, targets=("/giant.csv",), span=4 << 20))
    near.wait_count("stalled", "stalled", stalled, gauge.look)
    near.wait_count("waiting", "whole", 4, gauge.look)
    server.wait_for_log("stalled")
    print(f"a dead path, {slots} slots, {stalled} stalled: {gauge}")
    assert gauge.peak <= 4 * MB
