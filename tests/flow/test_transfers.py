"""Transfers to a scripted sink: what the kernel did not accept is sent next, and nothing else."""

# ruff: noqa: ASYNC110 - other tasks change the conditions, and each iteration is one step of the loop
from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freight.errors import ClientDisconnected, FileChanged, ShortRead, Stalled, TooSlow, TransferError
from freight.flow.send_window import SEND_BUFFER_MIN
from freight.memory.budget import Budget
from freight.memory.costs import WINDOW_MIN
from freight.model import Plan, Span
from support.stepped_loop import Harness, run_steps

CONTENT = bytes(range(256)) * 64
WHOLE = Plan(200, parts=(b"head ", Span(0, len(CONTENT))), length=len(CONTENT))
BLOCKED = BlockingIOError(errno.EAGAIN, "full")

Make = Callable[..., Any]
Run = Callable[[Callable[[], Any]], None]


@pytest.fixture(autouse=True)
def cached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every range cached."""
    monkeypatch.setattr("freight.flow.file_sender.is_cached", lambda *_: True)


@pytest.fixture
def cold(cached: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every range cold."""
    monkeypatch.setattr("freight.flow.file_sender.is_cached", lambda *_: False)


@pytest.mark.parametrize(
    "script",
    [(), (1,), (5, 1, BLOCKED, 2), (BLOCKED, BLOCKED), (3, 2, 100, BLOCKED, 1, 16000, BLOCKED), (5, 16384)],
)
async def test_what_the_kernel_did_not_accept_is_sent_next(
    pool: Any, make_sink: Make, open_file: Make, script: tuple[int | OSError, ...]
) -> None:
    sink = make_sink(*script)
    await Harness(pool).transfer(open_file(CONTENT), WHOLE, sink)
    assert sink.content == b"head " + CONTENT


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(
    st.lists(st.just(BLOCKED) | st.integers(1, 5000), max_size=30),
    st.lists(
        st.binary(max_size=40) | st.tuples(st.integers(0, len(CONTENT)), st.integers(0, len(CONTENT))), max_size=8
    ),
)
def test_parts_are_sent_in_order_however_the_kernel_accepts_them(
    run: Run, pool: Any, make_sink: Make, open_file: Make, script: list[int | OSError], drawn: list[Any]
) -> None:
    parts = tuple(part if isinstance(part, bytes) else Span(min(part), max(part)) for part in drawn)
    whole = b"".join(part if isinstance(part, bytes) else CONTENT[part.start : part.stop] for part in parts)

    async def main() -> None:
        harness, sink = Harness(pool), make_sink(*script)
        plan = Plan(200, parts=parts, length=len(whole))
        running = harness.loop.create_task(harness.transfer(open_file(CONTENT), plan, sink))
        while not running.done():
            await asyncio.sleep(0)
            harness.loop.advance(0.01)  # a socket that refused too often pauses
        await running
        assert sink.content == whole

    run(main)


async def test_a_head_shares_its_packet_with_the_next_span_and_the_last_literal_is_not_delayed(
    pool: Any, make_sink: Make, open_file: Make
) -> None:
    sink = make_sink()
    plan = Plan(206, parts=(b"head", Span(0, 10), b"between", Span(20, 30), b"end"), length=34)
    await Harness(pool).transfer(open_file(CONTENT), plan, sink)
    assert sink.more == [True, True, False]


@pytest.mark.parametrize("blocked", [False, True])
async def test_a_file_that_ends_before_its_length_is_a_short_read(
    pool: Any, make_sink: Make, open_file: Make, blocked: bool
) -> None:
    sink = make_sink(*((5, 10, BLOCKED) if blocked else ()))
    plan = Plan(200, parts=(b"head ", Span(0, 1000)), length=1000)
    with pytest.raises(ShortRead):
        await Harness(pool).transfer(open_file(CONTENT[:900], size=1000), plan, sink)
    assert len(sink.content) < 5 + 1000


async def test_a_file_that_changed_before_the_first_byte_is_not_sent_complete(
    pool: Any, make_sink: Make, open_file: Make
) -> None:
    sink, file = make_sink(), open_file(CONTENT)
    file.changed = lambda: True
    with pytest.raises(FileChanged):
        await Harness(pool).transfer(file, WHOLE, sink)


async def test_a_file_that_changed_during_its_last_bytes_is_not_sent_complete(
    pool: Any, make_sink: Make, open_file: Make
) -> None:
    sink, file = make_sink(), open_file(CONTENT)
    file.changed = lambda: len(sink.content) == 5 + len(CONTENT)
    with pytest.raises(FileChanged):
        await Harness(pool).transfer(file, WHOLE, sink)


@pytest.mark.parametrize("error", [ConnectionResetError(), BrokenPipeError(), ConnectionAbortedError()])
@pytest.mark.parametrize("before", [(), (5, BLOCKED)])
async def test_a_failed_socket_is_a_disconnected_client(
    pool: Any, make_sink: Make, open_file: Make, error: OSError, before: tuple[Any, ...]
) -> None:
    harness = Harness(pool)
    with pytest.raises(ClientDisconnected):
        await harness.transfer(open_file(CONTENT), WHOLE, make_sink(*before, error))
    assert harness.budget.running == 0


@pytest.mark.parametrize("before", [(), (5, BLOCKED)])
async def test_a_disk_error_is_reported_as_it_is(
    pool: Any, make_sink: Make, open_file: Make, before: tuple[Any, ...]
) -> None:
    with pytest.raises(OSError, match="bad disk") as caught:
        await Harness(pool).transfer(open_file(CONTENT), WHOLE, make_sink(*before, 5, OSError(errno.EIO, "bad disk")))
    assert not isinstance(caught.value, ConnectionError)


@pytest.mark.usefixtures("cold")
async def test_a_cold_range_is_fetched_by_the_pool_and_then_sent(pool: Any, make_sink: Make, open_file: Make) -> None:
    harness, sink = Harness(pool), make_sink()
    running = harness.loop.create_task(harness.transfer(open_file(CONTENT), WHOLE, sink))
    await harness.job_submitted()
    for _ in range(5):
        await asyncio.sleep(0)
    assert sink.content == b"head "  # no byte of the file was read on the loop
    pool.work()
    await running
    assert sink.content == b"head " + CONTENT


@pytest.mark.usefixtures("cold")
async def test_a_cold_range_that_cannot_be_read_ends_the_transfer_with_the_disk_error(
    pool: Any, make_sink: Make, open_file: Make
) -> None:
    harness, file = Harness(pool), open_file(CONTENT)
    os.dup2(os.open("/", os.O_RDONLY | os.O_DIRECTORY), file.fd)  # a directory, which cannot be read
    running = harness.loop.create_task(harness.transfer(file, WHOLE, make_sink()))
    await harness.job_submitted()
    pool.work()
    with pytest.raises(OSError, match=r"Errno"):
        await running


@pytest.mark.usefixtures("cold")
async def test_a_client_that_disconnects_during_a_fetch_is_noticed_before_its_end(
    pool: Any, make_sink: Make, open_file: Make
) -> None:
    harness, sink = Harness(pool), make_sink()
    running = harness.loop.create_task(harness.transfer(open_file(CONTENT), WHOLE, sink))
    await harness.job_submitted()
    sink.peer.close()
    with pytest.raises(ClientDisconnected):
        await running
    pool.work()  # the late result is dropped
    await asyncio.sleep(0)


async def test_a_long_transfer_returns_its_slot_and_all_loans(pool: Any, make_sink: Make, open_file: Make) -> None:
    content = bytes(16 << 20)
    harness, sink = Harness(pool), make_sink()
    plan = Plan(200, parts=(Span(0, len(content)),), length=len(content))
    await harness.transfer(open_file(content), plan, sink)
    assert sink.content == content
    harness.budget.reclaim(1)
    assert (harness.budget.running, harness.budget.lent) == (0, 0)


async def test_the_send_queue_of_a_transfer_that_ended_is_a_loan_until_it_drains(
    pool: Any, make_sink: Make, open_file: Make
) -> None:
    """The slot is free at once; the memory is not."""
    content = bytes(16 << 20)
    harness, sink = Harness(pool), make_sink()
    plan = Plan(200, parts=(Span(0, len(content)),), length=len(content))
    running = harness.loop.create_task(harness.transfer(open_file(content), plan, sink))
    while not running.done():
        sink.acks = max(0, sink.accepted_bytes - 10_000)
        await asyncio.sleep(0)
    budget, held = harness.budget, sink.queued_bytes()
    budget.reclaim(1)
    assert (budget.running, budget.lent) == (0, held) and held > 0
    sink.acks = sink.accepted_bytes - 10
    budget.reclaim(1)
    assert budget.lent == 10
    budget.forget(sink)  # the connection closes
    assert (budget.lent, len(budget._borrowers)) == (0, 0)


@pytest.mark.parametrize("reason", [None, "peer-gone", "drained"])
async def test_every_transfer_is_counted_with_what_it_sent_and_how_it_ended(
    pool: Any, make_sink: Make, open_file: Make, reason: str | None
) -> None:
    harness, sink = (
        Harness(pool),
        make_sink(5, 1000, *([ConnectionResetError()] if reason == "peer-gone" else [])),
    )
    sink.script.extend([BLOCKED] * (10_000 if reason == "drained" else 0))
    running = harness.loop.create_task(harness.transfer(open_file(CONTENT), WHOLE, sink))
    await run_steps()
    if reason == "drained":
        running.cancel()
    await asyncio.wait([running])
    counts = harness.counters.statistics()
    assert counts.completed == 0  # the kernel has all of it; its client may not
    if reason is None:
        harness.transfers.count(None)
        counts = harness.counters.statistics()
    assert (counts.completed, {word: n for word, n in counts.aborted.items() if n}) == (
        (1, {}) if reason is None else (0, {reason: 1})
    )
    assert counts.sent_bytes == counts.zero_copy_bytes == sink.accepted_bytes - 5  # without the head


async def test_a_producers_send_queue_is_limited_from_the_first_byte(
    pool: Any, make_sink: Make, producer: Make
) -> None:
    harness, sink = Harness(pool), make_sink()
    plan = Plan(200, parts=(b"head", Span(0, None)), length=None)
    running = harness.loop.create_task(harness.transfer(producer(), plan, sink))
    await harness.job_submitted()
    assert (sink.send_buffers, harness.budget.producers) == ([SEND_BUFFER_MIN], 1)
    pool.work()
    await running
    assert harness.budget.producers == 0


async def test_a_producer_makes_a_piece_only_when_the_one_before_was_sent(
    pool: Any, make_sink: Make, producer: Make
) -> None:
    harness, source = Harness(pool), producer(b"one", b"two")
    sink = make_sink(4, 2, *[BLOCKED] * 5)
    plan = Plan(200, parts=(b"head", Span(0, None), b"end"), length=None)
    running = harness.loop.create_task(harness.transfer(source, plan, sink))
    await harness.job_submitted()
    pool.work()
    while BLOCKED in sink.script:
        assert not pool.jobs
        await asyncio.sleep(0)
    for _ in range(2):
        await harness.job_submitted()
        pool.work()
    await running
    assert sink.content == b"head<one><two>end"


@pytest.mark.parametrize("error", [OSError(errno.EIO, "bad disk"), ShortRead("gone"), RuntimeError("a fault")])
async def test_a_producer_that_fails_ends_the_transfer_with_its_error(
    pool: Any, make_sink: Make, producer: Make, error: Exception
) -> None:
    harness, sink = Harness(pool), make_sink()
    plan = Plan(200, parts=(Span(0, None), b"end"), length=None)
    running = harness.loop.create_task(harness.transfer(producer(b"one", error), plan, sink))
    for _ in range(2):
        await harness.job_submitted()
        pool.work()
    with pytest.raises(type(error)):
        await running
    assert sink.content == b"<one>"
    assert harness.budget.running == 0


async def test_a_client_that_acknowledges_nothing_is_aborted_though_the_kernel_accepts_all(
    pool: Any, make_sink: Make, open_file: Make
) -> None:
    """Progress is what the client has acknowledged. What the kernel queues does not count."""
    harness = Harness(pool)
    sink = make_sink(5, *[1, BLOCKED] * 5000)
    sink.acks = 3
    running = harness.loop.create_task(harness.transfer(open_file(CONTENT), WHOLE, sink))
    await asyncio.sleep(0)
    await harness.transfers.sweep(0)
    harness.loop.seconds = 59
    await harness.transfers.sweep(0)
    await asyncio.sleep(0)
    assert not running.done()
    before = len(sink.content)
    while len(sink.content) == before:
        await asyncio.sleep(0)
    harness.loop.seconds = 61
    await harness.transfers.sweep(0)
    with pytest.raises(Stalled):
        await running


def test_the_sweep_skips_transfers_that_ended_while_the_loop_had_its_turn(
    run: Run, pool: Any, make_sink: Make, open_file: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their sockets are closed, and any call on them fails."""
    monkeypatch.setattr("freight.flow.transfers._SWEEP_BATCH", 1)

    async def main() -> None:
        harness = Harness(pool)
        sinks = [make_sink(5, *[BLOCKED] * 100_000) for _ in range(3)]
        running = [harness.loop.create_task(harness.transfer(open_file(CONTENT), WHOLE, sink)) for sink in sinks]
        await asyncio.sleep(0)
        for sink, task in zip(sinks, running, strict=True):
            sink.acknowledged = partial(fail_if_ended, task)
        sweep = harness.loop.create_task(harness.transfers.sweep(0))
        await asyncio.sleep(0)
        running[1].cancel()
        running[2].cancel()
        await sweep
        assert [task.done() for task in running] == [False, True, True]
        running[0].cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def fail_if_ended(task: asyncio.Task[None]) -> int:
        if task.done():
            raise ValueError("file descriptor cannot be a negative integer")
        return 0

    run(main)


async def test_a_client_that_acknowledges_a_byte_a_minute_is_not_aborted(
    pool: Any, make_sink: Make, open_file: Make
) -> None:
    harness = Harness(pool)
    sink = make_sink(5, *[BLOCKED] * 100_000)
    sink.acks = 0
    running = harness.loop.create_task(harness.transfer(open_file(CONTENT), WHOLE, sink))
    for _ in range(20):
        await asyncio.sleep(0)
        await harness.transfers.sweep(0)
        sink.acks += 1
        harness.loop.seconds += 59
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert harness.budget.running == 0


@pytest.mark.parametrize(("rate", "ended"), [(99, True), (100, False)])
async def test_a_client_below_the_minimum_rate_is_aborted_and_one_at_it_is_not(
    pool: Any, make_sink: Make, open_file: Make, rate: int, ended: bool
) -> None:
    harness = Harness(pool, min_rate=100.0)
    sink = make_sink(5, 16000, *[BLOCKED] * 100_000)
    sink.acks = 0
    running = harness.loop.create_task(harness.transfer(open_file(CONTENT), WHOLE, sink))
    for _ in range(125):
        await asyncio.sleep(0)
        harness.loop.advance(1.0)
        sink.acks += rate
        await harness.transfers.sweep(0)
    await run_steps()
    assert running.done() is ended
    running.cancel()
    with pytest.raises(TooSlow if ended else asyncio.CancelledError):
        await running


@pytest.mark.parametrize("queued", [0, 1, 2, 5])
@pytest.mark.parametrize(
    ("idle_seconds", "lent", "shortened"), [(60.0, 0, 15.0), (20.0, 200_000, 5.0), (60.0, 200_000, 10.0)]
)
async def test_for_each_queued_request_one_stalled_transfer_is_aborted_sooner(
    pool: Any, make_sink: Make, open_file: Make, queued: int, idle_seconds: float, lent: int, shortened: float
) -> None:
    """After a quarter of the idle timeout, and 10 s at most if the client keeps a loan. No more than are queued."""
    harness = Harness(pool, idle_seconds=idle_seconds)
    sinks = [make_sink(5, 100, *[BLOCKED] * 100_000) for _ in range(3)]
    for sink in sinks:
        sink.acks = 0
    running = [harness.loop.create_task(harness.transfer(open_file(CONTENT), WHOLE, sink)) for sink in sinks]
    await run_steps(2)
    for sink in sinks:
        sink.queued_bytes = lambda: WINDOW_MIN + lent
        harness.budget.record(sink, sink.queued_bytes())
    await harness.transfers.sweep(queued)
    harness.loop.advance(shortened - 0.1)
    await harness.transfers.sweep(queued)
    await run_steps()
    assert not any(task.done() for task in running)
    harness.loop.advance(0.1)
    await harness.transfers.sweep(queued)
    await run_steps()
    assert sum(task.done() for task in running) == min(queued, 3)
    for task in running:
        task.cancel()
    outcomes = await asyncio.gather(*running, return_exceptions=True)
    assert sum(isinstance(outcome, Stalled) for outcome in outcomes) == min(queued, 3)


@pytest.mark.parametrize(
    ("queued", "free_fraction", "ended_after_seconds"), [(0, 0.5, 3600), (1, 0.5, 15), (0, 0.49, 60)]
)
async def test_a_client_may_pause_while_no_request_waits_and_memory_is_free(
    pool: Any,
    make_sink: Make,
    open_file: Make,
    monkeypatch: pytest.MonkeyPatch,
    queued: int,
    free_fraction: float,
    ended_after_seconds: float,
) -> None:
    monkeypatch.setattr(Budget, "free_fraction", lambda budget: free_fraction)
    harness = Harness(pool, pause_seconds=3600.0, min_rate=100.0)
    sink = make_sink(5, 100, *[BLOCKED] * 100_000)
    sink.acks = 0
    running = harness.loop.create_task(harness.transfer(open_file(CONTENT), WHOLE, sink))
    await run_steps(2)
    await harness.transfers.sweep(0)
    for seconds in (ended_after_seconds - 0.1, 0.1):
        assert not running.done()
        harness.loop.advance(seconds)
        await harness.transfers.sweep(queued)
        await run_steps()
    with pytest.raises(Stalled):
        await running


async def test_no_more_clients_lose_their_pause_than_requests_wait(
    pool: Any, make_sink: Make, open_file: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Budget, "free_fraction", lambda budget: 0.5)
    harness = Harness(pool, pause_seconds=3600.0)
    sinks = [make_sink(5, 100, *[BLOCKED] * 100_000) for _ in range(4)]
    for sink in sinks:
        sink.acks = 0
    running = [harness.loop.create_task(harness.transfer(open_file(CONTENT), WHOLE, sink)) for sink in sinks]
    await run_steps(2)
    await harness.transfers.sweep(0)
    harness.loop.advance(1800.0)
    await harness.transfers.sweep(2)
    await run_steps()
    assert sum(task.done() for task in running) == 2
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


@pytest.mark.usefixtures("cold")
async def test_a_slow_disk_does_not_make_the_client_stall(pool: Any, make_sink: Make, open_file: Make) -> None:
    harness, sink = Harness(pool), make_sink()
    running = harness.loop.create_task(harness.transfer(open_file(CONTENT), WHOLE, sink))
    await harness.job_submitted()
    for _ in range(3):
        await harness.transfers.sweep(0)
        await asyncio.sleep(0)
        harness.loop.seconds += 100
    pool.work()
    await running
    assert sink.content == b"head " + CONTENT


async def test_a_bug_is_no_transfer_error(pool: Any, make_sink: Make, open_file: Make) -> None:
    """A bug is not the client's doing, so its exception is raised unchanged."""

    def fail() -> bool:
        raise ZeroDivisionError

    file = open_file(CONTENT)
    file.changed = fail
    with pytest.raises(ZeroDivisionError) as caught:
        await Harness(pool).transfer(file, WHOLE, make_sink(5, BLOCKED))
    assert not isinstance(caught.value, TransferError)


async def test_a_small_cached_body_is_sent_in_one_call_with_its_head(
    pool: Any, make_sink: Make, open_file: Make
) -> None:
    sink, harness = make_sink(), Harness(pool)
    await harness.transfer(open_file(CONTENT), Plan(206, parts=(Span(10, 4000),), length=3990), sink)
    assert sink.content == CONTENT[10:4000]
    assert sink.more == [False]
    counts = harness.counters.statistics()
    assert (counts.sent_bytes, counts.zero_copy_bytes) == (3990, 0)


@pytest.mark.parametrize("script", [(), (3, BLOCKED), (BLOCKED, 3), (7, BLOCKED, 100)])
async def test_whatever_is_sent_uses_up_the_receive_window(
    pool: Any, make_sink: Make, open_file: Make, producer: Any, script: tuple[int | OSError, ...]
) -> None:
    """Otherwise a client that stalls would be lent more than it can receive."""
    harness, sink = Harness(pool), make_sink(*script)
    sink.account.peer_window = window = 1 << 30
    await harness.transfer(open_file(b"body"), Plan(200, parts=(b"head ", Span(0, 4)), length=4), sink)
    await harness.transfers.send(Plan(404, parts=(b"page",), length=4), sink)
    listing = harness.loop.create_task(
        harness.transfer(producer(b"one", b"two"), Plan(200, parts=(Span(0, None),)), sink)
    )
    while not listing.done():
        pool.work()
        await asyncio.sleep(0)
    await listing
    assert sink.content == b"head bodypage<one><two>"
    assert sink.account.peer_window == window - len(sink.content)


async def test_a_small_body_of_a_file_that_changed_is_not_sent(pool: Any, make_sink: Make, open_file: Make) -> None:
    sink, reader, harness = make_sink(), open_file(CONTENT), Harness(pool)
    reader.changed = lambda: True
    with pytest.raises(FileChanged):
        await harness.transfer(reader, Plan(206, parts=(Span(10, 4000),), length=3990), sink)
    counts = harness.counters.statistics()
    assert (sink.content, counts.sent_bytes, counts.aborted[FileChanged.reason]) == (b"", 0, 1)
