"""Over a long line a small budget is no reason for a slow download, and holds all the same."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import pytest

import netns
from crowds import Crowd, Group
from freight.sample import write_sample
from gauges import KIB, MB, Gauge
from netns import Network, Place
from processes import running
from serving import PATIENCE_SECONDS, Served, find_program, until

Serve = Callable[..., Served]
Gather = Callable[..., Crowd]

ROUND_TRIP_MS, MBIT = 100, 400  # 5 MB are on their way
FILE_BYTES = 256 << 20  # more than the line carries in a turn
TURN_SECONDS = 4.0
ROUNDS = 2
LEAST_OF_NGINX = 0.8
PORT = 8080  # of a namespace of our own

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
    """The two ends of a long line."""
    try:
        with netns.line(ROUND_TRIP_MS, MBIT) as network:
            yield network
    except netns.Unmade as error:
        pytest.skip(f"a line cannot be made: {error}")


@contextmanager
def nginx(place: Place, root: Path, work: Path) -> Iterator[int]:
    """A real nginx that serves a directory; its port."""
    config = work / "nginx.conf"
    config.write_text(_NGINX.format(work=work, host=place.host, port=PORT, root=root))
    words = [*place.within, find_program("nginx") or "nginx", "-p", str(work), "-c", str(config), "-g", "daemon off;"]
    with running(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        until(lambda: listens(place), "nginx listens")
        yield PORT


def listens(place: Place) -> bool:
    with place.socket() as trying:
        return trying.connect_ex((place.host, PORT)) == 0


def taken(network: Network, port: int) -> int:
    """How many bytes one client has had after TURN_SECONDS, of which it connects in the first."""
    into = bytearray(1 << 20)
    count, until_then = 0, time.monotonic() + TURN_SECONDS
    with network.client.socket() as client:
        client.settimeout(PATIENCE_SECONDS)
        client.connect((network.server.host, port))
        client.sendall(b"GET /giant.csv HTTP/1.1\r\nHost: far\r\n\r\n")
        while time.monotonic() < until_then:
            received = client.recv_into(into)
            assert received, "the download ended"
            count += received
        client.shutdown(socket.SHUT_RDWR)
    return count


@pytest.mark.needs("ip", "nginx")
def test_one_far_client_of_a_small_budget_is_nearly_as_fast_as_one_of_nginx(
    far: Network, serve: Serve, tmp_path: Path
) -> None:
    """Where the kernel alone decides how much is on its way, for nginx, and where 20 MB do."""
    root, work = tmp_path / "root", tmp_path / "work"
    root.mkdir()
    work.mkdir()
    write_sample(root / "giant.csv", FILE_BYTES)
    server = serve(root, "--memory", "20MB", place=far.server)
    with nginx(far.server, root, work) as port:
        turns = [(taken(far, port), taken(far, server.port)) for _ in range(ROUNDS)]
    theirs, ours = (median(counts) for counts in zip(*turns, strict=True))
    print(f"in {TURN_SECONDS:g} s nginx {theirs / MB:.0f} MB, freight {ours / MB:.0f} MB; {turns}")
    assert ours >= LEAST_OF_NGINX * theirs


@pytest.mark.needs("ip", "ss")
def test_20_far_clients_keep_within_20_mb_and_have_every_byte(
    far: Network, site: Path, serve: Serve, gather: Gather
) -> None:
    """Their windows grow to their shares of the memory and never beyond, at each reading until all have theirs."""
    server = serve(site, "--memory", "20MB", admin=True, place=far.server)
    gauge, crowd = Gauge(server), gather(server, far.client)
    crowd.join(Group(name="far", count=20, targets=("/giant.csv",), span=16 << 20))
    crowd.wait_count("far", "whole", 20, gauge.look)
    print(f"20 far ones: {gauge}")
    assert gauge.peak <= 20 * MB
    assert gauge.peak_kernel >= 20 * 200 * KIB  # what near ones have


@pytest.mark.needs("ip", "ss")
def test_far_clients_that_stall_with_large_windows_are_ended_as_any_others(
    far: Network, site: Path, serve: Serve, gather: Gather
) -> None:
    server = serve(
        site, "--memory", "64MiB", "--idle-timeout", "2s", "--min-rate", "none", admin=True, place=far.server
    )
    gauge, crowd = Gauge(server), gather(server, far.client)
    crowd.join(Group(name="far", count=4, targets=("/giant.csv",), stall=24 << 20, receive=1 << 20))
    crowd.wait_count("far", "stalled", 4, gauge.look)
    assert gauge.peak_kernel >= 4 * 420 * KIB  # more than a mark can be
    until(lambda: server.gate()["running"] == 0, "all have been given up")
    until(lambda: gauge.look() <= 2 * MB, "what they held has gone")


@pytest.mark.needs("ip", "ss")
def test_what_a_dead_path_was_lent_comes_back_when_others_wait(
    far: Network, site: Path, serve: Serve, gather: Gather
) -> None:
    """Its own idle timeout is an hour; what it was lent is not left to it for so long while somebody waits."""
    server = serve(site, "--memory", "4MB", "--idle-timeout", "1h", "--min-rate", "none", admin=True, place=far.server)
    slots = server.gate()["slots"]
    gauge, distant, near = Gauge(server), gather(server, far.client), gather(server, far.server)
    distant.join(Group(name="far", count=1, targets=("/giant.csv",)))
    distant.wait(lambda: gauge.look() >= 1.2 * MB, "it has a third of the memory")
    far.cut()
    near.join(Group(name="stalled", count=slots - 1, targets=("/giant.csv",), span=4 << 20, stall=1 << 20))
    near.join(Group(name="waiting", count=4, targets=("/giant.csv",), span=4 << 20))
    near.wait_count("stalled", "stalled", slots - 1, gauge.look)
    near.wait_count("waiting", "whole", 4, gauge.look)
    server.await_log("stalled")
    print(f"a dead path, {slots} slots: {gauge}")
    assert gauge.peak <= 4 * MB
