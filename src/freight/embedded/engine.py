"""Answers requests inside an application: locate, decide, admit and open, as :mod:`freight.fileserver` does.

**Goal.** Downloads of an application have the semantics of the server and a fixed amount of memory.

**Invariants.**

1. An answer holds one piece at most, of LARGE_PIECE_BYTES, and reads the next when the server took the last.
2. No cold page is read on the event loop.
3. A piece is sent only if the file was unchanged after it was read.

**Left out.** The application's server buffers as it likes. ``download_memory`` counts that; by default it is more than
uvicorn may hold, which is 64 KiB and the piece that exceeded them. ``docs/reference/embedded.md`` has the others.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator

from freight.embedded.admission import Admission
from freight.embedded.limits import Limits
from freight.embedded.places import Chosen, Folder, OneFile, Place, Tree, whole_file_system
from freight.errors import FileChanged, ShortRead
from freight.flow.page_cache import Prefetcher
from freight.http.client_address import Networks, client_key, true_client
from freight.http.decide import plan_rejection, plan_response, plan_unreadable, trimmed, with_queue_timing
from freight.model import Fields, NotFound, NotFoundReason, Plan, Rejected, Request, Resource, Span
from freight.protocols import Clock, Reader
from freight.sources.disk_pool import DiskPool, Work
from freight.sources.entries import MEMORY_BYTES
from freight.sources.file_systems import Storage, storage_of
from freight.sources.local import LocalSource

PIECE_BYTES = 16 * 1024
"""A piece of a file in flight, in bytes."""

LARGE_PIECE_BYTES = 64 * 1024
"""A piece for a client that has read so much that no buffer between can hold it, and takes pieces at once."""

_PROVEN_BYTES = 8 * 1024 * 1024  # tcp_wmem and tcp_rmem are up to 4 and 6 MiB
_FAST_SECONDS = 0.1
_AHEAD_BYTES = 1024 * 1024  # of a cold file, fetched at once
_OPEN_ATTEMPTS = 8
_SWEEP_SECONDS = 1.0
_NOWAIT = getattr(os, "RWF_NOWAIT", None)


class Answer:
    """One answer. Leaving the context closes its file and ends its admission."""

    __slots__ = ("_engine", "_release", "at", "client", "on_stall", "piece_bytes", "plan", "reader")

    def __init__(self, engine: Engine, plan: Plan, client: str | bytes = "") -> None:
        self._engine = engine
        self._release: Callable[[], None] | None = None
        self.plan = plan
        self.reader: Reader | None = None
        self.client = client
        self.at = engine.loop.time()
        self.on_stall: Callable[[], object] | None = None
        self.piece_bytes = PIECE_BYTES

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def hold(self, reader: Reader, release: Callable[[], None]) -> Answer:
        """Own an open reader, and the admission that ``release`` ends."""
        self.reader, self._release = reader, release
        self._engine.watch(self)
        return self

    def close(self) -> None:
        """Close the file and end the admission. May be called again."""
        self._engine.forget(self)
        reader, self.reader = self.reader, None
        release, self._release = self._release, None
        if reader is not None:
            reader.__exit__(None, None, None)
        if release is not None:
            release()

    def progressed(self, sent: int) -> None:
        """Note that the server took a piece, and ``sent`` bytes in all."""
        now = self._engine.loop.time()
        is_fast = sent >= _PROVEN_BYTES and now - self.at < _FAST_SECONDS
        self.piece_bytes = LARGE_PIECE_BYTES if is_fast else PIECE_BYTES
        self.at = now

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the content. Raise a TransferError or OSError when it cannot be finished."""
        for part in self.plan.parts if self.plan.content else ():
            if isinstance(part, bytes):
                yield part
                continue
            assert self.reader is not None
            start, stop = part.start, part.stop
            if stop is None or self.reader.fileno() is None:
                while piece := await self._engine.produce(self.reader, self.client):
                    yield piece
                continue
            while start < stop:
                piece = await self._engine.read(self.reader, start, stop, self)
                yield piece
                start += len(piece)

    def blocking_pieces(self) -> Iterator[bytes]:
        """Yield what :meth:`pieces` does, in a thread that may wait for a disk."""
        for part in self.plan.parts if self.plan.content else ():
            if isinstance(part, bytes):
                yield part
                continue
            reader = self.reader
            assert reader is not None
            start, stop, fd = part.start, part.stop, reader.fileno()
            if stop is None or fd is None:
                while piece := reader.read(lambda: 0):
                    yield piece
                continue
            while start < stop:
                piece = os.pread(fd, min(LARGE_PIECE_BYTES, stop - start), start)
                reader.check()
                if not piece:
                    raise ShortRead("the file ended before its announced length")
                yield piece
                start += len(piece)


class Engine:
    """The downloads of one event loop that share ``limits``."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        self._clock = clock
        self._trusted = Networks.parse(limits.trusted_proxies)
        self._pool = DiskPool()
        self._prefetcher = Prefetcher(self.loop, self._pool)
        self.admission = Admission(limits.memory_bytes, limits.queue_size, limits.queue_timeout)
        self._sources: dict[str, LocalSource] = {}
        self._answers: dict[Answer, None] = {}
        self._busy = 0
        self._sweep: asyncio.TimerHandle | None = None

    def request(self, method: str, target: str, fields: Fields, version: tuple[int, int], peer: str) -> Request:
        """Return a request, from the client that trusted proxies name."""
        client = true_client(peer, fields, self._trusted)
        return Request(method, target, fields, version, client, client_key(client))

    async def tree(self, folder: Folder) -> Tree:
        """Return the files below a directory. Raise ConfigurationError if it cannot be served."""
        return Tree(await self._source(folder.root, lambda: LocalSource(folder.root, self._pool)), folder.listings)

    async def file(self, chosen: Chosen) -> OneFile:
        """Return one file."""
        return OneFile(await self._source("", lambda: whole_file_system(self._pool)), chosen)

    async def begin(self, request: Request, place: Place, on_wait: Callable[[], object] = int) -> Answer:
        """Return the answer to a request. It may be cancelled. ``on_wait`` is called before it waits in the queue."""
        self._busy += 1
        self._keep_sweeping()
        try:
            return await self._begin(request, place, on_wait)
        except OSError:
            return Answer(self, plan_unreadable(request))
        finally:
            self._busy -= 1

    def close(self) -> None:
        """Close the sources and end the threads. Answers that run may fail."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for source in self._sources.values():
            source.close()
        self._sources.clear()
        self._pool.close()

    def watch(self, answer: Answer) -> None:
        """Call the answer's ``on_stall`` when its client takes nothing for too long."""
        self._answers[answer] = None
        self._keep_sweeping()

    def forget(self, answer: Answer) -> None:
        """Stop watching."""
        self._answers.pop(answer, None)

    async def produce(self, reader: Reader, client: str | bytes) -> bytes:
        """Return the next piece of a producer."""
        call = lambda: reader.read(lambda: 0)  # noqa: E731
        job = self._pool.submit(call, work=Work.LISTING, device=reader.device, client=client)
        return await asyncio.wrap_future(job)

    async def read(self, reader: Reader, start: int, stop: int, answer: Answer) -> bytes:
        """Return a piece of a file that begins at ``start``, from memory or by a thread. It is never empty."""
        fd = reader.fileno()
        assert fd is not None
        end, client = min(start + answer.piece_bytes, stop), answer.client
        piece = None if reader.in_pieces else self._read_cached(fd, start, end)
        if piece is None and not reader.in_pieces and _NOWAIT is not None:
            await self._fetch(fd, start, min(start + _AHEAD_BYTES, stop), reader.device, client)
            piece = self._read_cached(fd, start, end)
        if piece is None:
            piece = await self._read_in_thread(reader, start, end, client)
        else:
            reader.check()
        if not piece:
            raise ShortRead("the file ended before its announced length")
        return piece

    @staticmethod
    def _read_cached(fd: int, start: int, stop: int) -> bytes | None:
        """Return what the page cache has at ``start``; None if that is nothing."""
        if _NOWAIT is None:
            return None
        piece = bytearray(stop - start)
        try:
            count = os.preadv(fd, [piece], start, _NOWAIT)
        except BlockingIOError:
            return None
        except OSError:  # usually EOPNOTSUPP
            return os.pread(fd, stop - start, start) if storage_of(fd) is Storage.MEMORY else None
        return bytes(piece) if count == len(piece) else bytes(memoryview(piece)[:count])

    async def _fetch(self, fd: int, start: int, stop: int, device: int, client: str | bytes) -> None:
        done: asyncio.Future[None] = self.loop.create_future()

        def report(error: Exception | None) -> None:
            if not done.done():
                done.set_result(None) if error is None else done.set_exception(error)

        self._prefetcher.fetch(fd, start, stop, device, client, report)
        await done

    async def _read_in_thread(self, reader: Reader, start: int, stop: int, client: str | bytes) -> bytes:
        done: asyncio.Future[bytes] = self.loop.create_future()

        def report(piece: bytes | Exception) -> None:
            if not done.done():
                done.set_result(piece) if isinstance(piece, bytes) else done.set_exception(piece)

        self._prefetcher.read(reader, start, stop, client, report, reader.check)
        return await done

    async def _begin(self, request: Request, place: Place, on_wait: Callable[[], object]) -> Answer:
        found, plan = await self._locate(request, place)
        if isinstance(found, NotFound) or not plan.spans:
            return Answer(self, plan)
        request = trimmed(request)
        cost = self.limits.download_bytes + (MEMORY_BYTES if found.produced else 0)
        began = self.loop.time()
        release = await self.admission.admit(request.client_key, cost, plan.length, on_wait)
        waited_seconds = self.loop.time() - began
        if isinstance(release, Rejected):
            return Answer(self, _timed(plan_rejection(request, release, found), waited_seconds))
        try:
            opened = await self._open(request, place, found, plan)
        except BaseException:
            release()
            raise
        if isinstance(opened, Plan):
            release()
            return Answer(self, opened)
        reader, plan = opened
        return Answer(self, _timed(plan, waited_seconds), request.client_key).hold(reader, release)

    async def _locate(self, request: Request, place: Place) -> tuple[Resource | NotFound, Plan]:
        found = await place.locate(request)
        return found, plan_response(request, found, self._clock.now())

    async def _open(self, request: Request, place: Place, found: Resource, plan: Plan) -> tuple[Reader, Plan] | Plan:
        """Open the representation. When the file is replaced after it was located, locate it again."""
        for _ in range(_OPEN_ATTEMPTS):
            try:
                reader = await place.open(found, plan.media_type, request)
            except FileChanged:
                again, plan = await self._locate(request, place)
                if isinstance(again, NotFound) or not plan.spans:
                    return plan
                found = again
                continue
            if isinstance(reader, NotFound):
                return plan_response(request, reader, self._clock.now())
            return reader, plan
        return plan_response(request, NotFound(NotFoundReason.BUSY), self._clock.now())

    async def _source(self, name: str, make: Callable[[], LocalSource]) -> LocalSource:
        source = self._sources.get(name)
        if source is None:
            made = await self._pool.run(make)
            source = self._sources.setdefault(name, made)
            if source is made:
                source.start(lambda level, message: None)
            else:
                made.close()
        return source

    def _keep_sweeping(self) -> None:
        if self._sweep is None:
            self._sweep = self.loop.call_later(_SWEEP_SECONDS, self._sweep_once)

    def _sweep_once(self) -> None:
        self._sweep = None
        self._pool.expire()
        late = self.loop.time() - self.limits.idle_timeout
        for answer in [each for each in self._answers if each.at < late and each.on_stall is not None]:
            on_stall, answer.on_stall = answer.on_stall, None
            assert on_stall is not None
            on_stall()
        if self._answers or self._busy:
            self._keep_sweeping()


def is_whole(plan: Plan) -> bool:
    """Return whether an answer is a file from its first byte to its last."""
    return plan.status == 200 and plan.content and plan.length is not None and plan.parts == (Span(0, plan.length),)


def _timed(plan: Plan, waited_seconds: float) -> Plan:
    return with_queue_timing(plan, waited_seconds) if waited_seconds >= 0.001 else plan
