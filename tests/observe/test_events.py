"""The event stream: one snapshot each tick for all viewers, none without viewers, and each viewer at its own pace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from freight.errors import ClientDisconnected
from freight.model import Plan, Request, Snapshot, Span
from freight.observe import events
from freight.observe.events import Events
from freight.observe.samples import SAMPLES_KEPT
from freight.observe.stream_writer import MAX_VIEWERS
from support.clocks import ManualClock
from support.servers import TIMEOUT_SECONDS

ASK = Request("GET", "/events", ())


class MemorySink:
    """A viewer that disconnects after ``frames_taken`` frames, and records what it was sent."""

    def __init__(self, frames_taken: int) -> None:
        self.frames_taken = frames_taken
        self.written: list[bytes] = []
        self.gate: asyncio.Event | None = None  # writes wait for it

    def set_send_buffer(self, mark: int | None) -> None:
        assert mark is not None and mark <= 32 * 1024

    def segments(self, plan: Plan, size: int | None) -> Iterator[bytes | Span]:
        return iter((b"head", *plan.spans, b"last"))

    def encode_chunk(self, data: bytes) -> bytes:
        return data

    def frames(self) -> list[bytes]:
        return [each for each in self.written if b"event: now\n" in each]


class Stream:
    """Events, and a count of the snapshots taken."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.clock = ManualClock()
        self.snapshots = 0
        self._snapshot = snapshot
        self.events = Events(self._take_snapshot, self._write, self.clock)
        self._changed = asyncio.Event()

    async def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds. Check it after each snapshot and each write."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def _take_snapshot(self) -> Snapshot:
        self.snapshots += 1
        self.clock.seconds += 1
        self._changed.set()
        return self._snapshot

    async def _write(self, data: bytes, sink: Any) -> None:
        if sink.gate is not None:
            await sink.gate.wait()
        if len(sink.frames()) >= sink.frames_taken:
            raise ClientDisconnected("the viewer disconnected")
        sink.written.append(data)
        self._changed.set()

    async def watch(self, sink: MemorySink, request: Request = ASK) -> Plan | None:
        try:
            return await self.events.respond(request, sink)  # type: ignore[arg-type]
        except ClientDisconnected:
            return None


@pytest.fixture
def stream(snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> Stream:
    monkeypatch.setattr(events, "TICK_SECONDS", 0.001)
    made: list[Stream] = []

    async def make() -> None:
        made.append(Stream(snapshot))

    asyncio.run(make())
    return made[0]


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_one_snapshot_each_tick_serves_all_viewers(stream: Stream) -> None:
    viewers = [MemorySink(5) for _ in range(20)]
    await asyncio.gather(*(stream.watch(each) for each in viewers))
    assert all(each.frames() == viewers[0].frames() for each in viewers)
    assert len(viewers[0].frames()) == 5
    assert stream.snapshots <= 7  # 5, and those before the last viewer disconnects


async def test_snapshots_are_taken_from_the_first_viewer_until_some_time_after_the_last(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    await turns()
    assert stream.snapshots == 0
    await stream.watch(MemorySink(1))
    before = stream.snapshots
    await stream.wait(
        lambda: stream.snapshots >= before + 3
    )  # it continues for a while: a viewer that reconnects has missed nothing
    stream.clock.seconds += SAMPLES_KEPT
    sampler = stream.events._sampler
    assert sampler is not None
    await sampler
    assert len(stream.events._samples) == 0
    before = stream.snapshots
    later = MemorySink(1)
    await stream.watch(later)  # starts the sampling again
    assert stream.snapshots > before and len(later.frames()) == 1


async def test_a_viewer_that_stalls_holds_one_event_and_skips_frames(stream: Stream) -> None:
    slow, fast = MemorySink(1), MemorySink(10)
    slow.gate = asyncio.Event()
    slow_task = asyncio.create_task(stream.watch(slow))
    await stream.watch(fast)
    assert slow.written == []
    slow.gate.set()
    await slow_task
    kinds = [each.split(b"\n")[1] for each in slow.written[2:]]
    assert kinds == [b"event: history", b"event: now"]  # what it missed is one piece of history


async def test_the_number_of_viewers_is_limited_and_one_that_leaves_admits_another(stream: Stream) -> None:
    viewers = [MemorySink(10**6) for _ in range(MAX_VIEWERS)]
    tasks = [asyncio.create_task(stream.watch(each)) for each in viewers]
    await turns()
    plan = await stream.watch(MemorySink(1))
    assert plan is not None and plan.status == 503
    assert b"All 64 event streams are in use" in plan.parts[0]  # type: ignore[operator]
    viewers[0].frames_taken = 0
    await tasks[0]
    assert await stream.watch(MemorySink(1)) is None
    stream.events.close()
    await asyncio.gather(*tasks)


async def test_closing_ends_each_stream_after_a_whole_event_with_the_end_of_its_content(stream: Stream) -> None:
    viewers = [MemorySink(10**6) for _ in range(3)]
    tasks = [asyncio.create_task(stream.watch(each)) for each in viewers]
    await stream.wait(lambda: all(each.frames() for each in viewers))
    stream.events.close()
    await asyncio.gather(*tasks)
    for each in viewers:
        assert each.written[-1] == b"last" and each.written[-2].endswith(b"\n\n")


@pytest.mark.parametrize(
    ("request_", "known"),
    [
        (ASK, 0),
        (Request("GET", "/events?after=17", ()), 17),
        (Request("GET", "/events?after=17", (("last-event-id", "18"),)), 18),
        (Request("GET", "/events", (("last-event-id", "x"),)), 0),
        (Request("GET", "/events?after=-3", ()), 0),
        (Request("GET", "/events?after=" + "9" * 5000, ()), 0),
        (Request("GET", "/events?after=\xb2", ()), 0),
    ],
)
def test_a_viewers_last_event_is_in_its_field_or_its_query_and_anything_else_is_none(
    request_: Request, known: int
) -> None:
    assert events._known(request_) == known
