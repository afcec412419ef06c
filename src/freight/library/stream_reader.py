"""A body that the code of an application makes: one call of its factory, one step for each piece.

**Goal.** The code never runs ahead of its client, and always ends: at its end, at an error, or when the client leaves.

**Invariant.** One step runs at a time, and :meth:`StreamReader.aclose` comes after it.

**Rules.**

1. An async iterator runs on the loop. A step that is cancelled raises CancelledError where the iterator waits.
2. A sync iterator runs in threads. A step in a thread cannot be cancelled: the close waits for it.
3. What the application yields is cut into pieces of the size that the server has memory for.
"""

from __future__ import annotations

import asyncio
import errno
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from freight.errors import ShortRead
from freight.protocols import MoreMemory
from freight.sources.disk_pool import DiskPool, Work
from freight.threads import start_daemon

T = TypeVar("T")

_NONE = memoryview(b"")


class StreamFailed(OSError):
    """The application's code has raised an error, which is the cause."""


class StreamReader:
    """One call of ``factory`` (:class:`freight.library.routes.Stream`): a Reader, and a LoopProducer.

    ``threads`` run sync iterators, in the queue ``device``, in turn by ``client``. ``closing`` keeps the tasks that end
    the application's code.
    """

    in_pieces = False

    def __init__(
        self,
        factory: Callable[[], Any],
        threads: DiskPool,
        device: int,
        client: str | bytes,
        closing: set[asyncio.Task[None]],
    ) -> None:
        self.size: int | None = None
        self.device = device
        self._factory = factory
        self._threads = threads
        self._client = client
        self._closing = closing
        self._iterator: Iterator[Any] | AsyncIterator[Any] | None = None
        self._rest = _NONE
        self._job: Future[Any] | None = None  # the last one in a thread
        self._close_task: asyncio.Task[None] | None = None

    def fileno(self) -> None:
        """Return None: this is a producer."""

    def check(self) -> None:
        """Do nothing: what was made was sent."""

    def read(self, more_memory: MoreMemory) -> bytes:
        """Raise TypeError: :meth:`produce` is called instead."""
        raise TypeError("a stream is produced on the event loop")

    async def produce(self, most_bytes: int) -> bytes:
        """Return the next piece (:class:`freight.protocols.LoopProducer`). Raise StreamFailed."""
        try:
            while not self._rest:
                if self._close_task is not None:
                    raise ShortRead("the stream is closed")
                made = await self._next()
                if made is None:
                    return b""
                self._rest = memoryview(made).cast("B")
        except (asyncio.CancelledError, ShortRead):
            raise
        except Exception as error:
            _report("a stream failed", error)
            raise StreamFailed(errno.EIO, "the code of the application failed") from error
        piece, self._rest = self._rest[:most_bytes], self._rest[most_bytes:]
        return bytes(piece)

    def start_close(self) -> None:
        """Begin to end the application's code."""
        if self._close_task is None:
            self._close_task = asyncio.get_running_loop().create_task(self._close())
            self._closing.add(self._close_task)
            self._close_task.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        """End the application's code, and wait until it has ended."""
        self.start_close()
        assert self._close_task is not None
        await asyncio.shield(self._close_task)

    async def _next(self) -> Any:
        """Return what the application yields next, or None at the end."""
        if self._iterator is None:
            self._iterator = await self._start()
        if isinstance(self._iterator, AsyncIterator):
            return await anext(self._iterator, None)
        iterator = self._iterator
        return await self._in_thread(lambda: next(iterator, None))

    async def _start(self) -> Iterator[Any] | AsyncIterator[Any]:
        factory = self._factory
        if inspect.isasyncgenfunction(factory) or inspect.iscoroutinefunction(factory):
            made = factory()
        elif inspect.isgeneratorfunction(factory):
            made = factory()  # its code runs at the first step
        else:
            made = await self._in_thread(factory)
        if isinstance(made, Awaitable):
            made = await made
        return aiter(made) if isinstance(made, AsyncIterable) else iter(made)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        job = self._threads.submit(call, work=Work.READ, device=self.device, client=self._client)
        self._job = job
        return await asyncio.shield(asyncio.wrap_future(job))  # a step that runs cannot be cancelled

    async def _close(self) -> None:
        job, self._rest = self._job, _NONE
        try:
            if job is not None and not job.done() and not job.cancel():
                await asyncio.wait([asyncio.wrap_future(job)])
            iterator = self._take_iterator()
            if hasattr(iterator, "aclose"):
                await iterator.aclose()
            elif hasattr(iterator, "close"):
                self._iterator = iterator
                await self._in_thread(iterator.close)
        except asyncio.CancelledError:  # the loop ends before the step does
            start_daemon(self._close_later, "stream-end")
            raise
        except Exception as error:
            _report("the end of a stream failed", error)

    def _close_later(self) -> None:
        """Close a sync iterator when its step has returned. Runs in a thread of its own."""
        if self._job is not None:
            wait([self._job])
        iterator = self._take_iterator()
        if hasattr(iterator, "close"):
            with suppress(Exception):  # nobody is left to report it to
                iterator.close()

    def _take_iterator(self) -> Any:
        """Return what must be closed: the iterator, or what the factory has returned after the client had left."""
        iterator, self._iterator, job = self._iterator, None, self._job
        if iterator is None and job is not None and job.done() and not job.cancelled() and job.exception() is None:
            return job.result()
        return iterator

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Do nothing: the code begins with the first piece, and the transfer that asked for that has closed it."""


def _report(message: str, error: Exception) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": f"freight: {message}", "exception": error})
