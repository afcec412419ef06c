"""Sources from code: directories, files, bytes and streams by URL path, to real clients that leave when they like."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from freight import Bytes, Directory, File, Server, Stream
from freight.testing import StartServer
from support.processes import environment, run
from support.processes import running as started
from support.servers import wait_until

PIECE = b"x" * 65536
LIMIT_SECONDS = 20


def curl(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["curl", "-sS", "--max-time", "20", *arguments], capture_output=True, timeout=LIMIT_SECONDS)


class Source:
    """An endless stream, sync or async, that counts its pieces and notes its end."""

    def __init__(self) -> None:
        self.made = 0
        self.calls = 0
        self.ended = threading.Semaphore(0)

    def sync(self) -> Iterator[bytes]:
        self.calls += 1
        try:
            while True:
                self.made += 1
                yield PIECE
        finally:
            self.ended.release()

    async def asynchronous(self) -> AsyncIterator[bytes]:
        self.calls += 1
        try:
            while True:
                self.made += 1
                yield PIECE
        finally:
            self.ended.release()

    async def silent(self) -> AsyncIterator[bytes]:
        self.calls += 1
        try:
            self.made += 1
            yield b"first"
            await asyncio.Event().wait()
        finally:
            self.ended.release()


def asking(server: Server, path: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_SECONDS)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return client


def running(server: Server) -> int:
    count: int = server.status()["admission"]["running"]
    return count


def test_each_route_is_served_at_its_path(freight_server: StartServer, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"a,b\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.csv").write_bytes(b"b")
    server = freight_server(
        routes={
            "/": Directory(tmp_path),
            "/data": Directory(tmp_path / "sub"),
            "/only.csv": File(tmp_path / "a.csv"),
            "/data/bytes.json": Bytes(b"{}"),
            "/deep/stream.csv": Stream(lambda: [b"1,", bytearray(b"2"), b"", memoryview(b"\n")]),
        }
    )
    for path, content in (
        ("a.csv", b"a,b\n"),
        ("data/b.csv", b"b"),
        ("only.csv", b"a,b\n"),
        ("data/bytes.json", b"{}"),
        ("deep/stream.csv", b"1,2\n"),
    ):
        assert curl("-f", server.url + path).stdout == content
    for path in ("none", "deep/stream.csv/", "data/bytes.json/x"):
        assert curl("-o", "/dev/null", "-w", "%{http_code}", server.url + path).stdout == b"404"


def test_bytes_have_ranges_and_validators_like_a_file(freight_server: StartServer) -> None:
    content = bytes(range(256)) * 4096
    routes = {"/b.bin": Bytes(content), "/n": Bytes(b"", media_type="text/csv", filename="n.csv")}
    server = freight_server(routes=routes)
    url = server.url + "b.bin"
    assert curl(url).stdout == content
    assert curl("-r", "1000-1999", url).stdout == content[1000:2000]
    head = curl("-I", url).stdout
    etag = next(line for line in head.split(b"\r\n") if line.startswith(b"ETag: "))[6:].decode()
    assert curl("-w", "%{http_code}", "-H", f"If-None-Match: {etag}", url).stdout == b"304"
    assert curl("-o", "/dev/null", "-w", "%{http_code}", "-r", "9999999-", url).stdout == b"416"
    head = curl("-I", server.url + "n").stdout
    assert b"Content-Type: text/csv" in head
    assert b'filename="n.csv"' in head
    assert b"Content-Length: 0" in head


@pytest.mark.parametrize("protocol", ["--http1.0", "--http1.1", "--http2-prior-knowledge"])
@pytest.mark.parametrize("kind", ["sync", "async", "coroutine", "large"])
def test_a_stream_is_sent_completely(freight_server: StartServer, kind: str, protocol: str) -> None:
    pieces = [b"a,b\n" * n for n in (1, 20_000, 3)]

    async def agen() -> AsyncIterator[bytes]:
        for piece in pieces:
            await asyncio.sleep(0)
            yield piece

    async def coroutine() -> Iterator[bytes]:
        return iter(pieces)

    factories: dict[str, Callable[[], object]] = {
        "sync": lambda: iter(pieces),
        "async": agen,
        "coroutine": coroutine,
        "large": lambda: [b"".join(pieces)],
    }
    server = freight_server(routes={"/s.csv": Stream(factories[kind])})  # type: ignore[arg-type]
    done = curl(protocol, "-w", "%{http_code} %{content_type}", server.url + "s.csv")
    assert done.stdout == b"".join(pieces) + b"200 text/csv", done.stderr


def test_a_stream_has_no_ranges_and_head_calls_nothing(freight_server: StartServer) -> None:
    source = Source()
    server = freight_server(routes={"/s": Stream(source.sync, filename="s.csv", media_type="text/csv")})
    head = curl("-I", server.url + "s").stdout
    assert b"Accept-Ranges: none" in head
    assert b'filename="s.csv"' in head
    assert source.calls == 0


@pytest.mark.parametrize("protocol", ["--http1.1", "--http2-prior-knowledge"])
@pytest.mark.parametrize("first", [b"", PIECE])
def test_a_failure_ends_the_body_without_its_end(
    freight_server: StartServer, first: bytes, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> Iterator[bytes]:
        if first:
            yield first
        raise ValueError("the database is gone")

    lines: list[str] = []
    server = freight_server(routes={"/s.csv": Stream(fail), "/b": Bytes(b"ok")}, log=lines.append)
    assert curl(protocol, server.url + "s.csv").returncode in (18, 52, 56, 92)
    assert curl(server.url + "b").stdout == b"ok"
    server.stop()
    assert [line for line in lines if "the code of the application failed" in line]
    assert "the database is gone" in caplog.text


def test_what_is_not_bytes_is_a_failure(freight_server: StartServer, caplog: pytest.LogCaptureFixture) -> None:
    server = freight_server(routes={"/s": Stream(lambda: ["text"])})  # type: ignore[list-item]
    assert curl(server.url + "s").returncode in (18, 52, 56)
    assert "memoryview" in caplog.text


@pytest.mark.parametrize("kind", ["sync", "asynchronous", "silent"])
def test_the_code_ends_when_the_client_leaves(freight_server: StartServer, kind: str) -> None:
    source = Source()
    server = freight_server(routes={"/s": Stream(getattr(source, kind))})
    with started(["curl", "-sS", "--limit-rate", "64k", "-o", "/dev/null", server.url + "s"]) as client:
        wait_until(lambda: source.made > 0, "the stream begins")
        client.kill()
    assert source.ended.acquire(timeout=LIMIT_SECONDS)
    wait_until(lambda: running(server) == 0, "the slot is returned")


@pytest.mark.parametrize("kind", ["sync", "asynchronous"])
def test_a_client_that_never_reads_stops_the_code_and_its_end_closes_it(freight_server: StartServer, kind: str) -> None:
    source = Source()
    server = freight_server(
        routes={"/s": Stream(getattr(source, kind))}, idle_timeout=1, min_rate=None, pause_timeout=None
    )
    with asking(server, "/s"):
        assert source.ended.acquire(timeout=LIMIT_SECONDS)  # it stalled
        assert source.made * len(PIECE) < 16 << 20
    wait_until(lambda: running(server) == 0, "the slot is returned")


def test_streams_at_once_are_as_many_as_slots_and_others_wait(freight_server: StartServer) -> None:
    source = Source()
    server = freight_server(routes={"/s": Stream(source.sync)}, memory="1MiB")
    slots = server.status()["admission"]["slots"]
    clients = [asking(server, "/s") for _ in range(slots + 3)]
    try:
        wait_until(lambda: server.status()["admission"]["waiting"] > 0, "a request waits")
        assert source.calls <= slots
    finally:
        for client in clients:
            client.close()
    wait_until(lambda: running(server) == 0, "all slots are returned")
    for _ in range(source.calls):
        assert source.ended.acquire(timeout=LIMIT_SECONDS)


def test_a_stop_ends_the_code(freight_server: StartServer) -> None:
    source = Source()
    server = freight_server(routes={"/a": Stream(source.asynchronous), "/b": Stream(source.sync)})
    with asking(server, "/a"), asking(server, "/b"):
        wait_until(lambda: source.calls == 2, "the streams begin")
        server.stop()
        for _ in range(2):
            assert source.ended.acquire(timeout=LIMIT_SECONDS)


def test_code_that_is_stuck_delays_no_stop_and_ends_when_it_returns(freight_server: StartServer) -> None:
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()

    def stuck() -> Iterator[bytes]:
        try:
            begun.set()
            release.wait(60)
            yield b"x"
        finally:
            ended.set()

    server = freight_server(routes={"/s": Stream(stuck)})
    try:
        with asking(server, "/s"):
            assert begun.wait(LIMIT_SECONDS)
        server.stop()
        assert not ended.is_set()
    finally:
        release.set()
    assert ended.wait(LIMIT_SECONDS)


def test_what_a_factory_returns_after_its_client_has_left_is_closed(freight_server: StartServer) -> None:
    begun, release, source = threading.Event(), threading.Event(), Source()

    def factory() -> Iterator[bytes]:
        begun.set()
        release.wait(60)
        return Closed(source)

    server = freight_server(routes={"/s": Stream(factory)})
    try:
        with asking(server, "/s"):
            assert begun.wait(LIMIT_SECONDS)
    finally:
        release.set()
    assert source.ended.acquire(timeout=LIMIT_SECONDS)
    wait_until(lambda: running(server) == 0, "the slot is returned")


class Closed:
    """A cursor: an iterator that is closed, and no generator."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __iter__(self) -> Closed:
        return self

    def __next__(self) -> bytes:
        self._source.made += 1
        return PIECE

    def close(self) -> None:
        self._source.ended.release()


SCRIPT = """
import subprocess, freight

def kib(name):
    return int(open("/proc/self/status").read().split(name + ":")[1].split()[0])

def export():
    piece = bytes(1 << 18)
    for _ in range(1 << 12):
        yield piece

with freight.Server(routes={"/s": freight.Stream(export)}, port=0, memory="16MiB") as server:
    subprocess.run(["curl", "-s", "-m1", "-o", "/dev/null", "--limit-rate", "1M", server.url + "s"])
    before = kib("VmRSS")
    size = subprocess.run(["sh", "-c", f"curl -s {server.url}s | wc -c"], capture_output=True).stdout
    print(int(size), kib("VmHWM") - before)
"""


def test_memory_is_flat_while_a_gigabyte_is_streamed() -> None:
    done = run(sys.executable, "-c", SCRIPT, env=environment(), seconds=100)
    size, grown_kib = map(int, done.stdout.split())
    assert size == 1 << 30
    assert grown_kib < 8 << 10
