"""A file that only threads may read: pieces within the window, counted until the kernel has them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freight import unsupported
from freight.errors import FileChanged, ShortRead
from freight.flow.file_sender import FileSender, TransferContext
from freight.flow.page_cache import Prefetcher
from freight.flow.rate_limit import RateLimiter
from freight.flow.send_window import CALL_SIZES
from freight.memory.costs import FAST_WINDOW, WINDOW_MIN
from freight.memory.ledger import Ledger
from freight.model import Span

KIB = 1024
CONTENT = os.urandom(1 << 20)
CLIENT = "192.0.2.1"

Make = Callable[..., Any]


class DirectLoop:
    """A loop that calls at once what a thread schedules."""

    def time(self) -> float:
        return 0.0

    def create_future(self) -> Any:
        return EndedFuture()

    def is_closed(self) -> bool:
        return False

    def call_soon_threadsafe(self, call: Callable[..., None], *arguments: Any) -> None:
        call(*arguments)


class EndedFuture:
    """Stores how the transfer ended."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.ended = False

    def done(self) -> bool:
        return self.ended

    def set_result(self, result: None) -> None:
        self.ended = True

    def set_exception(self, error: Exception) -> None:
        self.ended, self.error = True, error


class IdlePoller:
    """A poller that reports nothing by itself."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class FixedLedger(Ledger):
    """A ledger that grants a given window."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.given = window

    def window(self, sink: Any, held: int) -> int:
        return self.given


class Bench:
    """A sender of a file in pieces, to a sink whose client acknowledges what the test says."""

    def __init__(self, make_sink: Make, file: Any, pool: Any, *segments: bytes | Span, window: int = FAST_WINDOW):
        file.in_pieces = True
        self.pool, self.loop, poller = pool, DirectLoop(), IdlePoller()
        loop: Any = self.loop
        anything: Any = poller
        self.sink = make_sink()
        self.sink.acks = 0
        self.ledger: Any = FixedLedger(window)
        rates = RateLimiter()
        rates.join(CLIENT, 0.0)
        context = TransferContext(self.ledger, Prefetcher(loop, pool), rates)
        self.sender = FileSender(file.fd, file, iter(segments or (Span(0, file.size),)), self.sink, CLIENT, context)
        self.outcome: Any = self.sender.register(loop, anything)

    def step(self) -> None:
        """Take one step, as the poller does."""
        self.sender.handle_events(0)

    @property
    def held(self) -> int:
        """The bytes in the send queue and in pieces."""
        return int(self.sink.queued_bytes()) + int(self.sink.account.piece_bytes)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(st.sampled_from([WINDOW_MIN, 64 * KIB, FAST_WINDOW, 416 * KIB]), st.lists(st.floats(0, 1), max_size=30))
def test_the_queue_and_the_pieces_keep_within_the_window_and_are_counted(
    make_sink: Make, open_file: Make, pool: Any, window: int, drains: list[float]
) -> None:
    bench = Bench(make_sink, open_file(CONTENT), pool, b"head", Span(5, 200_000), b"between", Span(300_000, 1 << 20))
    bench.ledger.given = window
    for drained in [*drains, *[1.0] * 400]:
        bench.step()
        pool.work()
        assert bench.held <= window
        assert bench.ledger.lent >= bench.sink.account.piece_bytes + bench.sink.queued_bytes() - 1024
        bench.sink.acks += int(drained * bench.sink.queued_bytes())
        if bench.outcome.ended:
            break
    assert bench.outcome.ended and bench.outcome.error is None
    assert bench.sink.content == b"head" + CONTENT[5:200_000] + b"between" + CONTENT[300_000:]
    assert bench.sink.account.piece_bytes == 0
    assert bench.sender.sent_bytes == 199_995 + (1 << 20) - 300_000 and bench.sender.zero_copy_bytes == 0


def test_nothing_of_the_file_is_touched_on_the_loop(make_sink: Make, open_file: Make, pool: Any) -> None:
    file = open_file(CONTENT)
    file.changed = lambda: pytest.fail("checked on the loop")
    bench = Bench(make_sink, file, pool)
    bench.step()
    bench.step()
    assert not bench.sink.content and not bench.sink.calls and len(pool.jobs) == 1


@pytest.mark.parametrize("when", ["while it is read", "while it is sent"])
def test_the_memory_of_a_piece_is_given_back_when_the_transfer_ends(
    make_sink: Make, open_file: Make, pool: Any, when: str
) -> None:
    bench = Bench(make_sink, open_file(CONTENT), pool)
    bench.step()
    assert bench.sink.account.piece_bytes == CALL_SIZES[0]
    if when == "while it is sent":
        pool.work()
        bench.sink.script.extend([1000, BlockingIOError()])
        bench.step()
        assert bench.sink.account.piece_bytes == CALL_SIZES[0] - 1000
    bench.sender.unregister()
    assert bench.sink.account.piece_bytes == 0
    pool.work()  # a read that ends later changes nothing
    assert bench.sink.account.piece_bytes == 0 and len(bench.sink.content) in (0, 1000)


def test_a_file_that_became_shorter_ends_the_transfer(make_sink: Make, open_file: Make, pool: Any) -> None:
    file = open_file(CONTENT)
    bench = Bench(make_sink, file, pool)
    os.truncate(f"/proc/self/fd/{file.fd}", 0)
    bench.step()
    pool.work()
    assert isinstance(bench.outcome.error, ShortRead) and not bench.sink.content


def test_a_file_that_changed_does_not_end_complete(make_sink: Make, open_file: Make, pool: Any) -> None:
    file = open_file(CONTENT[:1000])
    file.changed = lambda: True
    bench = Bench(make_sink, file, pool)
    bench.step()
    pool.work()
    assert isinstance(bench.outcome.error, FileChanged) and not bench.sink.content


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ECONNABORTED, errno.ETIMEDOUT])
def test_an_error_of_the_file_system_is_not_taken_for_the_clients(
    make_sink: Make, open_file: Make, pool: Any, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """ECONNABORTED is what a read of FUSE gives when its file system ends."""
    bench = Bench(make_sink, open_file(CONTENT), pool)
    bench.step()

    def fail(*_: object) -> bytes:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pread", fail)
        pool.work()
    assert isinstance(bench.outcome.error, OSError) and bench.outcome.error.errno == number


def test_a_file_for_which_sendfile_does_not_work_is_read_in_pieces(
    make_sink: Make, open_file: Make, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = open_file(CONTENT)
    monkeypatch.setattr("freight.flow.file_sender.is_cached", lambda *_: True)
    monkeypatch.setattr(unsupported, "noted", set())
    bench = Bench(make_sink, file, pool)
    file.in_pieces = False

    def refuse(*_: object) -> int:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    bench.sink.sendfile = refuse
    for _ in range(400):
        bench.step()
        pool.work()
        bench.sink.acks = bench.sink.accepted_bytes
        if bench.outcome.ended:
            break
    assert bench.outcome.error is None and bench.sink.content == CONTENT
    assert file.in_pieces and [message for message in unsupported.take() if "sendfile(2)" in message]
