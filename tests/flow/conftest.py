"""Fakes for the flow: a sink that takes what its script says, readers, a pool that works when it is told to."""

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

from freight.account import Account
from freight.disk import DiskPool
from freight.errors import Changed
from freight.model import Plan, Span


class ScriptedSink:
    """Takes at most as many bytes at each call as the script's next number; an exception there is raised.

    Behind the script it takes all there is. ``content`` is what it took. Its socket can always take bytes, so that it
    is called again; ``peer`` is the other end. ``acks``: how many bytes the peer itself has taken; None: all. What it
    has not taken is held, byte by byte: this kernel keeps no books.
    """

    zero_copy = True
    wire = "memory"

    def __init__(self, script: Iterable[int | OSError] = ()) -> None:
        self.account = Account()
        self.zero_copy = True
        self.script = deque(script)
        self.content = bytearray()
        self.marks: list[int | None] = []
        self.more: list[bool] = []
        self.calls: list[int] = []  # what sendfile was asked for
        self.acks: int | None = None
        self.own, self.peer = socket.socketpair()

    @property
    def taken(self) -> int:
        return len(self.content)

    def segments(self, plan: Plan, size: int | None) -> Iterator[bytes | Span]:
        literal = b""  # neighbouring literals are one, and nothing empty comes: as on the wire
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

    def piece(self, data: bytes) -> bytes:
        return b"<" + data + b">"

    def send(self, data: bytes, more: bool) -> int:
        taken = data[: self._take()]
        self.content += taken
        self.more.append(more)
        return len(taken)

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        self.calls.append(count)
        taken = os.pread(fd, min(count, self._take()), offset)
        self.content += taken
        return len(taken)

    def bound(self, mark: int | None) -> None:
        if self.marks[-1:] != [mark]:  # as the socket's sink does: it is told again and again
            self.marks.append(mark)

    def path(self) -> tuple[float, int, int]:
        return 0.0, 0, 1 << 30

    def acknowledged(self) -> int:
        return self.taken if self.acks is None else self.acks

    def held(self) -> int:
        return self.taken - self.acknowledged()

    def behind(self) -> bool:
        return False

    def fileno(self) -> int:
        return self.own.fileno()

    def close(self) -> None:
        self.own.close()
        self.peer.close()

    def _take(self) -> int:
        if not self.script:
            return 1 << 62
        action = self.script.popleft()
        if isinstance(action, OSError):
            raise action
        return action


class OpenFile:
    """A reader of a real file, which can be told that it has changed."""

    device = 0

    def __init__(self, path: Path, size: int | None = None) -> None:
        self.fd = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self.fd).st_size if size is None else size
        self.changed: Callable[[], bool] = lambda: False

    def fileno(self) -> int:
        return self.fd

    def check(self) -> None:
        if self.changed():
            raise Changed("it was told so")

    def read(self) -> bytes:
        raise AssertionError("a file is not asked for pieces")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


class Producer:
    """A reader without a descriptor: gives its pieces one by one; an exception among them is raised."""

    size = None
    device = 0

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = deque(pieces)
        self.changed = False

    def fileno(self) -> None:
        return None

    def check(self) -> None:
        if self.changed:
            raise Changed("it was told so")

    def read(self) -> bytes:
        piece = self.pieces.popleft() if self.pieces else b""
        if isinstance(piece, Exception):
            raise piece
        return piece

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class HandPool(DiskPool):
    """A pool that works when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def submit(self, call: Callable[[], Any], **_: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.jobs.append((future, call))
        return future

    def work(self) -> None:
        """Do all that was asked for."""
        while self.jobs:
            future, job = self.jobs.popleft()
            try:
                future.set_result(job())
            except BaseException as error:
                future.set_exception(error)


@pytest.fixture
def make_sink() -> Iterator[Callable[..., ScriptedSink]]:
    """Makes sinks."""
    sinks: list[ScriptedSink] = []

    def make(*script: int | OSError) -> ScriptedSink:
        sinks.append(ScriptedSink(script))
        return sinks[-1]

    yield make
    for sink in sinks:
        sink.close()


@pytest.fixture
def open_file(tmp_path: Path) -> Iterator[Callable[..., OpenFile]]:
    """Opens files with given content."""
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
    """The reader without a descriptor."""
    return Producer


@pytest.fixture
def pool() -> HandPool:
    """A pool that works when it is told to."""
    return HandPool()


@pytest.fixture
def run() -> Callable[[Callable[[], Awaitable[None]]], None]:
    """Runs a coroutine function, and not for ever."""

    def run(main: Callable[[], Awaitable[None]]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(20):
                await main()

        asyncio.run(bounded())

    return run
