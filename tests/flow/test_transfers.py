"""The flowing, with a sink that does what its script says: what the kernel did not take goes next, and nothing else."""

# ruff: noqa: ASYNC110 - the conditions are other tasks' doing, and each look is one turn of the loop
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
from stepped import House, turns

from freight.errors import Changed, PeerGone, ShortRead, Stalled, TooSlow, TransferError
from freight.flow.budget import WINDOW_MIN
from freight.flow.pump import MARK_MIN
from freight.model import Plan, Span

CONTENT = bytes(range(256)) * 64
WHOLE = Plan(200, parts=(b"head ", Span(0, len(CONTENT))), length=len(CONTENT))
BLOCKED = BlockingIOError(errno.EAGAIN, "full")

Make = Callable[..., Any]
Run = Callable[[Callable[[], Any]], None]


@pytest.fixture(autouse=True)
def hot(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Every window is in memory, unless a test is about those that are not."""
    cold = request.node.get_closest_marker("parametrize") is None and "cold" in request.node.name
    monkeypatch.setattr("freight.flow.pump.resident", lambda *_: not cold)


@pytest.mark.parametrize(
    "script",
    [(), (1,), (5, 1, BLOCKED, 2), (BLOCKED, BLOCKED), (3, 2, 100, BLOCKED, 1, 16000, BLOCKED), (5, 16384)],
)
def test_what_the_kernel_did_not_take_goes_next(
    run: Run, pool: Any, make_sink: Make, open_file: Make, script: tuple[int | OSError, ...]
) -> None:
    async def main() -> None:
        sink = make_sink(*script)
        await House(pool).transfer(open_file(CONTENT), WHOLE, sink)
        assert sink.content == b"head " + CONTENT

    run(main)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(
    st.lists(st.just(BLOCKED) | st.integers(1, 5000), max_size=30),
    st.lists(
        st.binary(max_size=40) | st.tuples(st.integers(0, len(CONTENT)), st.integers(0, len(CONTENT))), max_size=8
    ),
)
def test_parts_go_out_in_order_however_the_kernel_takes_them(
    run: Run, pool: Any, make_sink: Make, open_file: Make, script: list[int | OSError], drawn: list[Any]
) -> None:
    parts = tuple(part if isinstance(part, bytes) else Span(min(part), max(part)) for part in drawn)
    whole = b"".join(part if isinstance(part, bytes) else CONTENT[part.start : part.stop] for part in parts)

    async def main() -> None:
        house, sink = House(pool), make_sink(*script)
        plan = Plan(200, parts=parts, length=len(whole))
        running = house.loop.create_task(house.transfer(open_file(CONTENT), plan, sink))
        while not running.done():
            await asyncio.sleep(0)
            house.loop.put_forward(0.01)  # who has been told too often that it can write rests
        await running
        assert sink.content == whole

    run(main)


def test_a_head_shares_its_packet_with_the_span_behind_it_and_a_last_literal_waits_for_nothing(
    run: Run, pool: Any, make_sink: Make, open_file: Make
) -> None:
    async def main() -> None:
        sink = make_sink()
        plan = Plan(206, parts=(b"head", Span(0, 10), b"between", Span(20, 30), b"end"), length=34)
        await House(pool).transfer(open_file(CONTENT), plan, sink)
        assert sink.more == [True, True, False]

    run(main)


@pytest.mark.parametrize("blocked", [False, True])
def test_a_file_that_ends_before_its_length_is_a_short_read(
    run: Run, pool: Any, make_sink: Make, open_file: Make, blocked: bool
) -> None:
    async def main() -> None:
        sink = make_sink(*((5, 10, BLOCKED) if blocked else ()))
        plan = Plan(200, parts=(b"head ", Span(0, 1000)), length=1000)
        with pytest.raises(ShortRead):
            await House(pool).transfer(open_file(CONTENT[:900], size=1000), plan, sink)
        assert len(sink.content) < 5 + 1000

    run(main)


def test_a_file_changed_at_the_beginning_is_not_whole(run: Run, pool: Any, make_sink: Make, open_file: Make) -> None:
    async def main() -> None:
        sink, file = make_sink(), open_file(CONTENT)
        file.changed = lambda: True
        with pytest.raises(Changed):
            await House(pool).transfer(file, WHOLE, sink)

    run(main)


def test_a_file_changed_while_its_last_bytes_went_is_not_whole(
    run: Run, pool: Any, make_sink: Make, open_file: Make
) -> None:
    async def main() -> None:
        sink, file = make_sink(), open_file(CONTENT)
        file.changed = lambda: len(sink.content) == 5 + len(CONTENT)
        with pytest.raises(Changed):
            await House(pool).transfer(file, WHOLE, sink)

    run(main)


@pytest.mark.parametrize("error", [ConnectionResetError(), BrokenPipeError(), ConnectionAbortedError()])
@pytest.mark.parametrize("before", [(), (5, BLOCKED)])
def test_a_socket_that_fails_is_a_peer_that_went(
    run: Run, pool: Any, make_sink: Make, open_file: Make, error: OSError, before: tuple[Any, ...]
) -> None:
    async def main() -> None:
        house = House(pool)
        with pytest.raises(PeerGone):
            await house.transfer(open_file(CONTENT), WHOLE, make_sink(*before, error))
        assert house.budget.running == 0

    run(main)


@pytest.mark.parametrize("before", [(), (5, BLOCKED)])
def test_a_disk_that_fails_is_reported_as_it_is(
    run: Run, pool: Any, make_sink: Make, open_file: Make, before: tuple[Any, ...]
) -> None:
    async def main() -> None:
        with pytest.raises(OSError, match="bad disk") as caught:
            await House(pool).transfer(open_file(CONTENT), WHOLE, make_sink(*before, 5, OSError(errno.EIO, "bad disk")))
        assert not isinstance(caught.value, ConnectionError)

    run(main)


def test_a_cold_window_is_fetched_by_the_pool_and_sent_after_that(
    run: Run, pool: Any, make_sink: Make, open_file: Make
) -> None:
    async def main() -> None:
        house, sink = House(pool), make_sink()
        running = house.loop.create_task(house.transfer(open_file(CONTENT), WHOLE, sink))
        await house.asked()
        for _ in range(5):
            await asyncio.sleep(0)
        assert sink.content == b"head "  # and no byte of the file was read on the loop
        pool.work()
        await running
        assert sink.content == b"head " + CONTENT

    run(main)


def test_a_cold_window_that_cannot_be_fetched_ends_the_transfer_with_the_disks_error(
    run: Run, pool: Any, make_sink: Make, open_file: Make
) -> None:
    async def main() -> None:
        house, file = House(pool), open_file(CONTENT)
        os.dup2(os.open("/", os.O_RDONLY | os.O_DIRECTORY), file.fd)  # what no read can read
        running = house.loop.create_task(house.transfer(file, WHOLE, make_sink()))
        await house.asked()
        pool.work()
        with pytest.raises(OSError, match=r"Errno"):
            await running

    run(main)


def test_a_peer_that_goes_during_a_cold_fetch_is_noticed_before_it_is_over(
    run: Run, pool: Any, make_sink: Make, open_file: Make
) -> None:
    async def main() -> None:
        house, sink = House(pool), make_sink()
        running = house.loop.create_task(house.transfer(open_file(CONTENT), WHOLE, sink))
        await house.asked()
        sink.peer.close()
        with pytest.raises(PeerGone):
            await running
        pool.work()  # whoever comes late finds nobody, and nothing breaks
        await asyncio.sleep(0)

    run(main)


def test_a_long_transfer_gives_back_its_slot_and_all_it_was_lent(
    run: Run, pool: Any, make_sink: Make, open_file: Make
) -> None:
    content = bytes(16 << 20)

    async def main() -> None:
        house, sink = House(pool), make_sink()
        plan = Plan(200, parts=(Span(0, len(content)),), length=len(content))
        await house.transfer(open_file(content), plan, sink)
        assert sink.content == content
        house.budget.reclaim(1)
        assert (house.budget.running, house.budget.lent) == (0, 0)

    run(main)


def test_what_the_kernel_holds_when_a_transfer_ends_is_lent_until_the_client_has_it(
    run: Run, pool: Any, make_sink: Make, open_file: Make
) -> None:
    """The slot is another's at once; the memory is not."""
    content = bytes(16 << 20)

    async def main() -> None:
        house, sink = House(pool), make_sink()
        plan = Plan(200, parts=(Span(0, len(content)),), length=len(content))
        running = house.loop.create_task(house.transfer(open_file(content), plan, sink))
        while not running.done():
            sink.acks = max(0, sink.taken - 10_000)
            await asyncio.sleep(0)
        budget, held = house.budget, sink.held()
        budget.reclaim(1)
        assert (budget.running, budget.lent) == (0, held) and held > 0
        sink.acks = sink.taken - 10
        budget.reclaim(1)
        assert budget.lent == 10
        budget.forget(sink)  # it closed
        assert (budget.lent, len(budget._borrowers)) == (0, 0)

    run(main)


@pytest.mark.parametrize("reason", [None, "peer-gone", "drained"])
def test_every_transfer_is_counted_with_what_it_sent_and_how_it_ended(
    run: Run, pool: Any, make_sink: Make, open_file: Make, reason: str | None
) -> None:
    async def main() -> None:
        house, sink = House(pool), make_sink(5, 1000, *([ConnectionResetError()] if reason == "peer-gone" else []))
        sink.script.extend([BLOCKED] * (10_000 if reason == "drained" else 0))
        running = house.loop.create_task(house.transfer(open_file(CONTENT), WHOLE, sink))
        await turns()
        if reason == "drained":
            running.cancel()
        await asyncio.wait([running])
        counts = house.meter.statistics()
        assert (counts.completed, {word: n for word, n in counts.aborted.items() if n}) == (
            (1, {}) if reason is None else (0, {reason: 1})
        )
        assert counts.sent_bytes == counts.zero_copy_bytes == sink.taken - 5  # the head is none of it

    run(main)


def test_a_producers_queue_is_bounded_from_its_first_byte_on(
    run: Run, pool: Any, make_sink: Make, producer: Make
) -> None:
    async def main() -> None:
        house, sink = House(pool), make_sink()
        plan = Plan(200, parts=(b"head", Span(0, None)), length=None)
        running = house.loop.create_task(house.transfer(producer(), plan, sink))
        await house.asked()
        assert (sink.marks, house.budget.producers) == ([MARK_MIN], 1)
        pool.work()
        await running
        assert house.budget.producers == 0

    run(main)


def test_a_producer_is_asked_for_its_next_piece_only_when_the_last_one_has_gone(
    run: Run, pool: Any, make_sink: Make, producer: Make
) -> None:
    async def main() -> None:
        house, source = House(pool), producer(b"one", b"two")
        sink = make_sink(4, 2, *[BLOCKED] * 5)
        plan = Plan(200, parts=(b"head", Span(0, None), b"end"), length=None)
        running = house.loop.create_task(house.transfer(source, plan, sink))
        await house.asked()
        pool.work()
        while BLOCKED in sink.script:
            assert not pool.jobs
            await asyncio.sleep(0)
        for _ in range(2):
            await house.asked()
            pool.work()
        await running
        assert sink.content == b"head<one><two>end"

    run(main)


@pytest.mark.parametrize("error", [OSError(errno.EIO, "bad disk"), ShortRead("gone"), RuntimeError("a fault")])
def test_a_producer_that_fails_ends_the_transfer_with_its_error(
    run: Run, pool: Any, make_sink: Make, producer: Make, error: Exception
) -> None:
    async def main() -> None:
        house, sink = House(pool), make_sink()
        plan = Plan(200, parts=(Span(0, None), b"end"), length=None)
        running = house.loop.create_task(house.transfer(producer(b"one", error), plan, sink))
        for _ in range(2):
            await house.asked()
            pool.work()
        with pytest.raises(type(error)):
            await running
        assert sink.content == b"<one>"
        assert house.budget.running == 0

    run(main)


def test_a_client_that_takes_nothing_is_ended_though_the_kernel_takes_all(
    run: Run, pool: Any, make_sink: Make, open_file: Make
) -> None:
    """Standing still is judged by what the peer has acknowledged: the kernel's queue is ours, not the client's."""

    async def main() -> None:
        house = House(pool)
        sink = make_sink(5, *[1, BLOCKED] * 5000)
        sink.acks = 3
        running = house.loop.create_task(house.transfer(open_file(CONTENT), WHOLE, sink))
        await asyncio.sleep(0)
        await house.transfers.sweep(0)
        house.loop.seconds = 59
        await house.transfers.sweep(0)
        await asyncio.sleep(0)
        assert not running.done()
        before = len(sink.content)
        while len(sink.content) == before:
            await asyncio.sleep(0)
        house.loop.seconds = 61
        await house.transfers.sweep(0)
        with pytest.raises(Stalled):
            await running

    run(main)


def test_who_has_gone_while_the_sweep_gave_others_a_turn_is_passed_over(
    run: Run, pool: Any, make_sink: Make, open_file: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its socket is closed, and can be asked nothing."""
    monkeypatch.setattr("freight.flow.transfer._SWEEP_AT_ONCE", 1)

    async def main() -> None:
        house = House(pool)
        sinks = [make_sink(5, *[BLOCKED] * 100_000) for _ in range(3)]
        running = [house.loop.create_task(house.transfer(open_file(CONTENT), WHOLE, sink)) for sink in sinks]
        await asyncio.sleep(0)
        for sink, task in zip(sinks, running, strict=True):
            sink.acknowledged = partial(asked, task)
        sweep = house.loop.create_task(house.transfers.sweep(0))
        await asyncio.sleep(0)
        running[1].cancel()
        running[2].cancel()
        await sweep
        assert [task.done() for task in running] == [False, True, True]
        running[0].cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def asked(task: asyncio.Task[None]) -> int:
        if task.done():
            raise ValueError("file descriptor cannot be a negative integer")
        return 0

    run(main)


def test_a_client_that_takes_a_byte_a_minute_is_not_ended(
    run: Run, pool: Any, make_sink: Make, open_file: Make
) -> None:
    async def main() -> None:
        house = House(pool)
        sink = make_sink(5, *[BLOCKED] * 100_000)
        sink.acks = 0
        running = house.loop.create_task(house.transfer(open_file(CONTENT), WHOLE, sink))
        for _ in range(20):
            await asyncio.sleep(0)
            await house.transfers.sweep(0)
            sink.acks += 1
            house.loop.seconds += 59
        assert not running.done()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert house.budget.running == 0

    run(main)


@pytest.mark.parametrize(("rate", "ended"), [(99, True), (100, False)])
def test_a_client_that_takes_less_than_the_least_rate_is_ended_and_one_that_takes_it_is_not(
    run: Run, pool: Any, make_sink: Make, open_file: Make, rate: int, ended: bool
) -> None:
    async def main() -> None:
        house = House(pool, least_rate=100.0)
        sink = make_sink(5, 16000, *[BLOCKED] * 100_000)
        sink.acks = 0
        running = house.loop.create_task(house.transfer(open_file(CONTENT), WHOLE, sink))
        for _ in range(125):
            await asyncio.sleep(0)
            house.loop.put_forward(1.0)
            sink.acks += rate
            await house.transfers.sweep(0)
        await turns()
        assert running.done() is ended
        running.cancel()
        with pytest.raises(TooSlow if ended else asyncio.CancelledError):
            await running

    run(main)


@pytest.mark.parametrize("wanted", [0, 1, 2, 5])
@pytest.mark.parametrize(
    ("idle_seconds", "lent", "patience"), [(60.0, 0, 15.0), (20.0, 200_000, 5.0), (60.0, 200_000, 10.0)]
)
def test_while_others_wait_for_slots_so_many_are_let_go_with_less_patience(
    run: Run, pool: Any, make_sink: Make, open_file: Make, wanted: int, idle_seconds: float, lent: int, patience: float
) -> None:
    """A quarter of the idle timeout; 10 s at most where a client keeps what it was lent. Nobody is let go in vain."""

    async def main() -> None:
        house = House(pool, idle_seconds=idle_seconds)
        sinks = [make_sink(5, 100, *[BLOCKED] * 100_000) for _ in range(3)]
        for sink in sinks:
            sink.acks = 0
        running = [house.loop.create_task(house.transfer(open_file(CONTENT), WHOLE, sink)) for sink in sinks]
        await turns(2)
        for sink in sinks:
            sink.held = lambda: WINDOW_MIN + lent
            house.budget.note(sink, sink.held())
        await house.transfers.sweep(wanted)
        house.loop.put_forward(patience - 0.1)
        await house.transfers.sweep(wanted)
        await turns()
        assert not any(task.done() for task in running)
        house.loop.put_forward(0.1)
        await house.transfers.sweep(wanted)
        await turns()
        assert sum(task.done() for task in running) == min(wanted, 3)
        for task in running:
            task.cancel()
        outcomes = await asyncio.gather(*running, return_exceptions=True)
        assert sum(isinstance(outcome, Stalled) for outcome in outcomes) == min(wanted, 3)

    run(main)


def test_a_cold_fetch_that_takes_long_is_not_the_clients_standing_still(
    run: Run, pool: Any, make_sink: Make, open_file: Make
) -> None:
    async def main() -> None:
        house, sink = House(pool), make_sink()
        running = house.loop.create_task(house.transfer(open_file(CONTENT), WHOLE, sink))
        await house.asked()
        for _ in range(3):
            await house.transfers.sweep(0)
            await asyncio.sleep(0)
            house.loop.seconds += 100
        pool.work()
        await running
        assert sink.content == b"head " + CONTENT

    run(main)


def test_a_transfer_error_is_never_one_of_ours_by_accident(
    run: Run, pool: Any, make_sink: Make, open_file: Make
) -> None:
    """A fault of the program is no client's doing: it comes out as it is."""

    async def main() -> None:
        def fail() -> bool:
            raise ZeroDivisionError

        file = open_file(CONTENT)
        file.changed = fail
        with pytest.raises(ZeroDivisionError) as caught:
            await House(pool).transfer(file, WHOLE, make_sink(5, BLOCKED))
        assert not isinstance(caught.value, TransferError)

    run(main)
