"""The stream: one look a tick for all who watch, none when nobody does, and every viewer at its own pace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from freight.errors import PeerGone
from freight.model import Plan, Request, Snapshot, Span
from freight.observe import events
from freight.observe.events import Events
from freight.observe.outlet import VIEWERS
from freight.observe.samples import KEPT
from serving import PATIENCE_SECONDS

ASK = Request("GET", "/events", ())


class HandSet:
    """A clock that goes on when it is told to, and a little with each look."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> float:
        return 1_767_323_045.0

    def monotonic(self) -> float:
        return self.seconds


class MemorySink:
    """A viewer: what it was written, and how many pieces it takes before it goes away."""

    def __init__(self, stays: int) -> None:
        self.stays = stays
        self.written: list[bytes] = []
        self.gate: asyncio.Event | None = None  # writing waits for it

    def bound(self, mark: int | None) -> None:
        assert mark is not None and mark <= 32 * 1024

    def segments(self, plan: Plan, size: int | None) -> Iterator[bytes | Span]:
        return iter((b"head", *plan.spans, b"last"))

    def piece(self, data: bytes) -> bytes:
        return data

    def frames(self) -> list[bytes]:
        return [each for each in self.written if b"event: now\n" in each]


class House:
    """Events, with a look that is counted."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.clock = HandSet()
        self.looks = 0
        self._snapshot = snapshot
        self.events = Events(self._look, self._write, self.clock)
        self._changed = asyncio.Event()

    async def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds, looking again whenever something was looked at or written."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def _look(self) -> Snapshot:
        self.looks += 1
        self.clock.seconds += 1
        self._changed.set()
        return self._snapshot

    async def _write(self, data: bytes, sink: Any) -> None:
        if sink.gate is not None:
            await sink.gate.wait()
        if len(sink.frames()) >= sink.stays:
            raise PeerGone("it went")
        sink.written.append(data)
        self._changed.set()

    async def watch(self, sink: MemorySink, request: Request = ASK) -> Plan | None:
        try:
            return await self.events.respond(request, sink)  # type: ignore[arg-type]
        except PeerGone:
            return None


@pytest.fixture
def house(snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(events, "TICK_SECONDS", 0.001)
    made: list[House] = []

    async def make() -> None:
        made.append(House(snapshot))

    asyncio.run(make())
    return made[0]


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_one_look_a_tick_serves_all_who_watch(house: House) -> None:
    async def scenario() -> None:
        viewers = [MemorySink(5) for _ in range(20)]
        await asyncio.gather(*(house.watch(each) for each in viewers))
        assert all(each.frames() == viewers[0].frames() for each in viewers)
        assert len(viewers[0].frames()) == 5
        assert house.looks <= 7  # 5, and those until each has seen that it is gone

    asyncio.run(scenario())


def test_nobody_looks_before_anybody_watches_nor_long_after(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        await turns()
        assert house.looks == 0
        await house.watch(MemorySink(1))
        looks = house.looks
        await house.wait(lambda: house.looks >= looks + 3)  # for a while it goes on: who comes back has missed nothing
        house.clock.seconds += KEPT
        sampler = house.events._sampler
        assert sampler is not None
        await sampler
        assert len(house.events._ring) == 0
        looks = house.looks
        later = MemorySink(1)
        await house.watch(later)  # and begins anew
        assert house.looks > looks and len(later.frames()) == 1

    asyncio.run(scenario())


def test_a_viewer_that_takes_nothing_holds_one_event_and_skips_frames(house: House) -> None:
    async def scenario() -> None:
        slow, quick = MemorySink(1), MemorySink(10)
        slow.gate = asyncio.Event()
        slow_task = asyncio.create_task(house.watch(slow))
        await house.watch(quick)
        assert slow.written == []
        slow.gate.set()
        await slow_task
        kinds = [each.split(b"\n")[1] for each in slow.written[2:]]
        assert kinds == [b"event: history", b"event: now"]  # what it missed is in one piece, the frames are not

    asyncio.run(scenario())


def test_no_more_than_so_many_watch_and_who_leaves_makes_room(house: House) -> None:
    async def scenario() -> None:
        viewers = [MemorySink(10**6) for _ in range(VIEWERS)]
        tasks = [asyncio.create_task(house.watch(each)) for each in viewers]
        await turns()
        plan = await house.watch(MemorySink(1))
        assert plan is not None and plan.status == 503
        assert b"64 watch already" in plan.parts[0]  # type: ignore[operator]
        viewers[0].stays = 0
        await tasks[0]
        assert await house.watch(MemorySink(1)) is None
        house.events.close()
        await asyncio.gather(*tasks)

    asyncio.run(scenario())


def test_closing_ends_each_stream_behind_a_whole_event_with_the_end_of_its_content(house: House) -> None:
    async def scenario() -> None:
        viewers = [MemorySink(10**6) for _ in range(3)]
        tasks = [asyncio.create_task(house.watch(each)) for each in viewers]
        await house.wait(lambda: all(each.frames() for each in viewers))
        house.events.close()
        await asyncio.gather(*tasks)
        for each in viewers:
            assert each.written[-1] == b"last" and each.written[-2].endswith(b"\n\n")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("request_", "known"),
    [
        (ASK, -1),
        (Request("GET", "/events?after=17", ()), 17),
        (Request("GET", "/events?after=17", (("last-event-id", "18"),)), 18),
        (Request("GET", "/events", (("last-event-id", "x"),)), -1),
        (Request("GET", "/events?after=-3", ()), -1),
        (Request("GET", "/events?after=" + "9" * 5000, ()), -1),
        (Request("GET", "/events?after=\xb2", ()), -1),
    ],
)
def test_what_a_viewer_knows_is_by_its_field_or_its_query_and_nonsense_is_nothing(
    request_: Request, known: int
) -> None:
    assert events._known(request_) == known
