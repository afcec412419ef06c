"""Fakes: a sink that accepts what its script says, readers, and a disk pool that a test runs by hand."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

import pytest

from freight.errors import FileChanged
from freight.model import Plan, Span
from freight.protocols import MoreMemory, SendAccount
from freight.sources.disk_pool import DiskPool


class ScriptedSink:
    """Accepts at each call at most as many bytes as the script's next number, or raises the exception there.

    After the script it accepts everything. ``content`` is what it has accepted. Its socket is always writable, and
    ``peer`` is the other end. ``acks`` is how many bytes the peer has acknowledged; None: all. The others are queued,
    without any bookkeeping of a kernel.
    """

    zero_copy = True
    protocol = "memory"

    def __init__(self, script: Iterable[int | OSError] = ()) -> None:
        self.account = SendAccount()
        self.zero_copy = True
        self.script = deque(script)
        self.content = bytearray()
        self.send_buffers: list[int | None] = []
        self.more: list[bool] = []
        self.calls: list[int] = []  # the counts that sendfile was called with
        self.acks: int | None = None
        self.own, self.peer = socket.socketpair()

    @property
    def accepted_bytes(self) -> int:
        return len(self.content)

    def segments(self, plan: Plan, size: int | None) -> Iterator[bytes | Span]:
        literal = b""  # adjacent literals are merged and no segment is empty, as in a real sink
        for part in plan.parts:
            if isinstance(part, bytes):
                literal += part
            elif part.stop is None or part.start < part.stop:
                if literal:
                    yield literal
                    literal = b""
                yield part if part.stop is not None or size is None else Span(part.start, size)
        if literal:
            yield literal

    def encode_chunk(self, data: bytes) -> bytes:
        return b"<" + data + b">"

    def send(self, data: bytes, more: bool) -> int:
        accepted = data[: self._next_limit()]
        self.content += accepted
        self.more.append(more)
        return len(accepted)

    def send_piece(self, data: memoryview) -> int:
        return self.send(bytes(data), False)

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        self.calls.append(count)
        accepted = os.pread(fd, min(count, self._next_limit()), offset)
        self.content += accepted
        return len(accepted)

    def set_send_buffer(self, limit: int | None) -> None:
        if self.send_buffers[-1:] != [limit]:  # only changes, as the socket's sink does
            self.send_buffers.append(limit)

    def path_info(self) -> tuple[float, int, int]:
        return 0.0, 0, 1 << 30

    def acknowledged(self) -> int:
        return self.accepted_bytes if self.acks is None else self.acks

    def queued_bytes(self) -> int:
        return self.accepted_bytes - self.acknowledged()

    def yielded_to_others(self) -> bool:
        return False

    def fileno(self) -> int:
        return self.own.fileno()

    def close(self) -> None:
        self.own.close()
        self.peer.close()

    def _next_limit(self) -> int:
        if not self.script:
            return 1 << 62
        action = self.script.popleft()
        if isinstance(action, OSError):
            raise action
        return action


class OpenFile:
    """A reader of a real file. A test sets ``changed``."""

    device = 0
    in_pieces = False

    def __init__(self, path: Path, size: int | None = None) -> None:
        self.fd = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self.fd).st_size if size is None else size
        self.changed: Callable[[], bool] = lambda: False

    def fileno(self) -> int:
        return self.fd

    def check(self) -> None:
        if self.changed():
            raise FileChanged("the test says so")

    def read(self, more_memory: MoreMemory) -> bytes:
        raise AssertionError("a reader with a descriptor has no pieces")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


class Producer:
    """A reader without a descriptor: returns its pieces one by one, and raises an exception among them."""

    size = None
    device = 0
    in_pieces = False

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = deque(pieces)
        self.changed = False

    def fileno(self) -> None:
        return None

    def check(self) -> None:
        if self.changed:
            raise FileChanged("the test says so")

    def read(self, more_memory: MoreMemory) -> bytes:
        piece = self.pieces.popleft() if self.pieces else b""
        if isinstance(piece, Exception):
            raise piece
        return piece

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class ManualPool(DiskPool):
    """A disk pool whose jobs run when the test calls :meth:`work`."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def submit(self, call: Callable[[], Any], **_: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.jobs.append((future, call))
        return future

    def work(self) -> None:
        """Run all submitted jobs."""
        while self.jobs:
            future, job = self.jobs.popleft()
            try:
                future.set_result(job())
            except BaseException as error:
                future.set_exception(error)


@pytest.fixture
def make_sink() -> Iterator[Callable[..., ScriptedSink]]:
    """Return a function that makes sinks with a script."""
    sinks: list[ScriptedSink] = []

    def make(*script: int | OSError) -> ScriptedSink:
        sinks.append(ScriptedSink(script))
        return sinks[-1]

    yield make
    for sink in sinks:
        sink.close()


@pytest.fixture
def open_file(tmp_path: Path) -> Iterator[Callable[..., OpenFile]]:
    """Return a function that opens a file with the given content."""
    files: list[OpenFile] = []

    def make(content: bytes, size: int | None = None) -> OpenFile:
        path = tmp_path / f"{len(files)}.bin"
        path.write_bytes(content)
        files.append(OpenFile(path, size))
        return files[-1]

    yield make
    for file in files:
        file.__exit__()


@pytest.fixture
def producer() -> type[Producer]:
    """Return the class of readers without a descriptor."""
    return Producer


@pytest.fixture
def pool() -> ManualPool:
    """Return a pool whose jobs the test runs."""
    return ManualPool()


@pytest.fixture
def run() -> Callable[[Callable[[], Awaitable[None]]], None]:
    """Return a function that runs a coroutine function for at most 20 s."""

    def run(main: Callable[[], Awaitable[None]]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(20):
                await main()

        asyncio.run(bounded())

    return run
