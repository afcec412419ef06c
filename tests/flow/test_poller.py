"""The poller serves all sockets that are ready, one after another."""

# ruff: noqa: ASYNC110 - other tasks change the conditions, and each iteration is one step of the loop
from __future__ import annotations

import asyncio
import select
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from freight.flow.poller import FAILED, GONE, Poller
from support.stepped_loop import SteppedLoop

Run = Callable[[Callable[[], Any]], None]


class Handler:
    """Handles events of one end of a socket pair, which is always writable."""

    def __init__(self, poller: Poller, call: Callable[[Handler, int], None]) -> None:
        self.own, self.peer = socket.socketpair()
        self.poller = poller
        self.call = call
        self.fd = self.own.fileno()
        poller.register(self.fd, self)

    def handle_events(self, events: int) -> None:
        self.call(self, events)

    def end(self, error: Exception | None) -> None:
        self.poller.unregister(self.fd)
        self.own.close()
        self.peer.close()


@pytest.fixture
def ended() -> Iterator[ExitStack]:
    """Return a stack that closes what enters it."""
    with ExitStack() as stack:
        yield stack


def register_handlers(
    poller: Poller, ended: ExitStack, count: int, call: Callable[[Handler, int], None]
) -> list[Handler]:
    ended.callback(poller.close)
    handlers = [Handler(poller, call) for _ in range(count)]
    for handler in handlers:
        ended.callback(lambda handler=handler: handler.own.fileno() >= 0 and handler.end(None))
    return handlers


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("seconds", [0.0, 0.002, 0.01])
@pytest.mark.parametrize("count", [2, 7, 8, 9, 16, 50])
async def test_all_ready_sockets_are_served_equally_however_long_each_takes(
    ended: ExitStack, monkeypatch: pytest.MonkeyPatch, count: int, seconds: float
) -> None:
    """Round robin, also where a batch ends before every ready socket has been served."""
    clock = [0.0]
    monkeypatch.setattr("freight.flow.poller.monotonic", lambda: clock[0])
    served: Counter[int] = Counter()

    def serve(handler: Handler, events: int) -> None:
        served[handler.fd] += 1
        clock[0] += seconds

    handlers = register_handlers(Poller(asyncio.get_running_loop()), ended, count, serve)
    while served.total() < 20 * count:
        await asyncio.sleep(0)
    counts = [served[handler.fd] for handler in handlers]
    assert max(counts) - min(counts) <= 1
    ended.close()


async def test_the_loop_takes_a_step_between_two_batches(ended: ExitStack) -> None:
    """A batch is limited, however many sockets are ready, and a new request waits no longer than that."""
    served: list[int] = []
    register_handlers(Poller(asyncio.get_running_loop()), ended, 200, lambda handler, _: served.append(handler.fd))
    await turns(1)
    for _ in range(20):
        before = len(served)
        await turns(1)
        assert len(served) - before <= 32
    ended.close()


@pytest.mark.parametrize(("busy", "calls"), [(0.0, 1), (0.0015, 7), (0.003, 15), (0.05, 20)])
def test_a_socket_that_is_ready_again_has_the_whole_batch_which_is_longer_on_a_busy_loop(
    run: Run, ended: ExitStack, monkeypatch: pytest.MonkeyPatch, busy: float, calls: int
) -> None:
    """A call takes 0.2 ms, and each step of the loop ``busy`` seconds. A batch starts after two steps."""
    clock = [0.0]
    monkeypatch.setattr("freight.flow.poller.monotonic", lambda: clock[0])
    batches: list[int] = []

    async def main() -> None:
        def serve(handler: Handler, events: int) -> None:
            batches[-1] += 1
            clock[0] += 0.0002

        register_handlers(Poller(asyncio.get_running_loop()), ended, 1, serve)
        batches.append(0)
        while len(batches) < 400:
            await turns(1)
            clock[0] += busy
            if batches[-1]:
                batches.append(0)
        ended.close()

    run(main)
    assert batches[-2] == pytest.approx(calls, abs=1)


async def test_a_paused_handler_is_not_called_until_it_resumes(ended: ExitStack) -> None:
    served: list[int] = []
    poller = Poller(asyncio.get_running_loop())
    (handler,) = register_handlers(poller, ended, 1, lambda handler, _: served.append(handler.fd))
    poller.pause(handler.fd)
    await turns(10)
    assert served == []
    poller.resume(handler.fd)
    while not served:
        await asyncio.sleep(0)
    ended.close()


async def test_a_failure_is_reported_during_a_pause(ended: ExitStack) -> None:
    reported: list[int] = []

    def call(handler: Handler, events: int) -> None:
        reported.append(events)
        handler.end(None)

    poller = Poller(asyncio.get_running_loop())
    (handler,) = register_handlers(poller, ended, 1, call)
    poller.pause(handler.fd)
    handler.peer.close()
    while not reported:
        await asyncio.sleep(0)
    assert reported[0] & FAILED
    assert list(poller) == []
    ended.close()


async def test_a_handler_that_another_unregisters_in_the_same_batch_is_not_called(ended: ExitStack) -> None:
    called: list[int] = []

    def call(handler: Handler, events: int) -> None:
        called.append(handler.fd)
        for other in handlers:
            if other is not handler and other.own.fileno() >= 0:
                other.end(None)

    handlers = register_handlers(Poller(asyncio.get_running_loop()), ended, 5, call)
    while len(called) < 20:
        await asyncio.sleep(0)
    assert len(set(called)) == 1
    ended.close()


async def test_a_full_socket_is_not_ready_and_becomes_ready_when_the_peer_reads(ended: ExitStack) -> None:
    served: list[int] = []

    def fill(handler: Handler, events: int) -> None:
        assert events == select.EPOLLOUT
        served.append(handler.fd)
        handler.own.setblocking(False)
        try:
            while True:
                handler.own.send(bytes(65536))
        except BlockingIOError:
            pass

    (handler,) = register_handlers(Poller(asyncio.get_running_loop()), ended, 1, fill)
    while not served:
        await asyncio.sleep(0)
    await turns(20)
    assert len(served) == 1
    handler.peer.setblocking(False)
    try:
        while handler.peer.recv(1 << 20):
            pass
    except BlockingIOError:
        pass
    while len(served) < 2:
        await asyncio.sleep(0)
    ended.close()


async def test_a_timed_pause_ends_when_its_time_is_over_and_not_before(ended: ExitStack) -> None:
    served: list[int] = []
    loop: Any = SteppedLoop()
    poller = Poller(loop)
    handlers = register_handlers(poller, ended, 3, lambda handler, _: served.append(handler.fd))
    for handler, seconds in zip(handlers, [3.0, 1.0, 2.0], strict=True):
        poller.pause_for(handler.fd, seconds)
    for step, woken in [(0.9, set()), (0.2, {1}), (1.0, {1, 2}), (1.0, {0, 1, 2})]:
        loop.advance(step)
        served.clear()
        await turns(20)
        assert set(served) == {handlers[each].fd for each in woken}
    assert loop.timers == []
    ended.close()


async def test_a_failure_is_reported_during_a_timed_pause(ended: ExitStack) -> None:
    reported: list[int] = []

    def call(handler: Handler, events: int) -> None:
        reported.append(events)
        handler.end(None)

    loop: Any = SteppedLoop()
    poller = Poller(loop)
    (handler,) = register_handlers(poller, ended, 1, call)
    poller.pause_for(handler.fd, 1.0)
    handler.peer.close()
    while not reported:
        await asyncio.sleep(0)
    assert reported[0] & FAILED
    loop.advance(2.0)  # the pause ends, and no handler is registered
    ended.close()


async def test_a_handler_with_the_descriptor_of_one_that_paused_is_not_resumed_by_its_timer(ended: ExitStack) -> None:
    served: list[int] = []

    class Successor:
        def handle_events(self, events: int) -> None:
            served.append(events)

    loop: Any = SteppedLoop()
    poller = Poller(loop)
    (handler,) = register_handlers(poller, ended, 1, lambda handler, _: None)
    poller.pause_for(handler.fd, 1.0)
    poller.unregister(handler.fd)
    poller.register(handler.fd, Successor())
    poller.pause(handler.fd)
    loop.advance(2.0)
    await turns(20)
    assert served == []
    poller.resume(handler.fd)
    await turns(20)
    assert served
    ended.close()


async def test_a_handler_that_waits_for_the_peers_end_is_called_for_nothing_else(ended: ExitStack) -> None:
    reported: list[int] = []
    poller = Poller(asyncio.get_running_loop())
    (handler,) = register_handlers(poller, ended, 1, lambda _, events: reported.append(events))
    poller.unregister(handler.fd)
    poller.register(handler.fd, handler, GONE)
    handler.peer.send(b"another request")
    await turns(20)
    assert reported == []
    handler.peer.shutdown(socket.SHUT_WR)
    while not reported:
        await asyncio.sleep(0)
    assert reported[0] & GONE
    ended.close()


class Streams:
    """Virtual descriptors: stores the events that each is watched for."""

    def __init__(self) -> None:
        self.watched: dict[int, int] = {}

    def register(self, fd: int, eventmask: int) -> None:
        self.watched[fd] = eventmask

    modify = register

    def unregister(self, fd: int) -> None:
        del self.watched[fd]


class StreamHandler:
    """Handles events of a virtual descriptor."""

    def __init__(self) -> None:
        self.events: list[int] = []

    def handle_events(self, events: int) -> None:
        self.events.append(events)


async def test_a_virtual_descriptor_is_waited_for_like_a_socket() -> None:
    poller, streams, handler = Poller(asyncio.get_running_loop()), Streams(), StreamHandler()
    one, other = poller.register_virtual(streams), poller.register_virtual(streams)
    assert one != other and max(one, other) < -1  # no descriptor, and not that of a closed socket
    poller.register(one, handler)
    assert streams.watched == {one: select.EPOLLOUT} and list(poller) == [handler]
    poller.pause_for(one, 0.01)
    assert streams.watched == {one: 0}
    while not streams.watched[one]:
        await asyncio.sleep(0)
    poller.notify(one, FAILED)
    poller.notify(other, FAILED)  # it is not registered
    assert handler.events == [FAILED]
    poller.unregister(one)
    poller.unregister_virtual(one)
    assert not streams.watched and not list(poller)
    poller.close()
