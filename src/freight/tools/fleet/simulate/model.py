"""PURE. The fleet: requests arrive, a balancer picks a node for each, and nodes handle their events in time order.

An event is an arrival, the end of a chunk, or the end of a wait. Rates are constant between events, so the model only
calculates at events. Each node knows the time of its next one.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from freight.tools.fleet.simulate.cache import key_of
from freight.tools.fleet.simulate.node import Node, NodeSpec, Request, RequestResult
from freight.tools.fleet.simulate.policies import Policy

_Bytes = tuple[float, float, int, int]  # of a node: sent, read, touched, missed


@dataclass(slots=True)
class Tally:
    """The results of the requests that count.

    ``outcomes``: the number of requests with each result. For each served request: ``waits``, in seconds, and
    ``stretches``, its time divided by the time that its client alone would need. Of each node, during ``seconds``:
    ``sent``, ``read``, ``touched`` and ``missed`` bytes, and ``picked``, its requests.
    """

    arrived: int = 0
    outcomes: Counter[RequestResult] = field(default_factory=Counter)
    waits: array[float] = field(default_factory=lambda: array("d"))
    stretches: array[float] = field(default_factory=lambda: array("d"))
    sent: array[float] = field(default_factory=lambda: array("d"))
    read: array[float] = field(default_factory=lambda: array("d"))
    touched: array[int] = field(default_factory=lambda: array("Q"))
    missed: array[int] = field(default_factory=lambda: array("Q"))
    picked: array[int] = field(default_factory=lambda: array("Q"))
    seconds: float = 0.0
    most_running: int = 0
    most_waiting: int = 0


class Fleet:
    """Identical nodes behind one balancer. ``sizes``: of the files, in bytes."""

    def __init__(
        self, nodes: int, spec: NodeSpec, sizes: Sequence[int], policy_of: Callable[[Sequence[int]], Policy]
    ) -> None:
        self.nodes = [Node(spec) for _ in range(nodes)]
        self.loads = [0] * nodes
        self._spec = spec
        self._sizes = sizes
        self._policy = policy_of(self.loads)
        self._events: list[tuple[float, int]] = []
        self._due = [float("inf")] * nodes
        self._tally = Tally()
        self._counted_from = 0.0

    def warm_up(self, arrivals: Iterable[tuple[float, int, int]]) -> None:
        """Fill the page caches as these requests would, each at the speed of its client.

        Downloads that still run at the last arrival continue, so that the fleet does not begin empty.
        """
        chunk_bytes, rates = self._spec.chunk_bytes, self._spec.client_rates
        running: list[tuple[float, int, int, int]] = []
        now = 0.0
        for now, file, kind in arrivals:
            while running and running[0][0] <= now:
                self._leave(heappop(running)[1])
            node, size = self._send(file), self._sizes[file]
            cache = self.nodes[node].cache
            for chunk, start in enumerate(range(0, size, chunk_bytes)):
                cache.touch(key_of(file, chunk), min(chunk_bytes, size - start))
            heappush(running, (now + size / rates[kind], node, file, kind))
        for end, node, file, kind in running:
            left = int((end - now) * rates[kind]) if end > now else 0
            if self.nodes[node].resume(Request(file, self._sizes[file], kind, float("-inf")), left):
                self._after(node, 0.0)
            else:
                self._leave(node)

    def run(self, arrivals: Iterable[tuple[float, int, int]], counted_from: float = 0.0) -> Tally:
        """Run these arrivals, which are sorted by time, until the last request has ended.

        Only arrivals from ``counted_from`` seconds on are counted, and bytes from then until the last arrival.
        """
        self._tally, self._counted_from = Tally(), counted_from
        base: list[_Bytes] | None = None
        picked = array("Q", bytes(8 * len(self.nodes)))
        now = 0.0
        for now, file, kind in arrivals:
            if base is None and now >= counted_from:
                base = self._bytes_at(counted_from)
            self._run_until(now)
            node = self._send(file)
            self.nodes[node].arrive(Request(file, self._sizes[file], kind, now))
            if base is not None:
                self._tally.arrived += 1
                picked[node] += 1
            self._after(node, now)
        self._count_bytes(base or self._bytes_at(now), self._bytes_at(now))
        self._tally.picked, self._tally.seconds = picked, now - counted_from
        self._run_until(float("inf"))
        return self._tally

    def _send(self, file: int) -> int:
        node = self._policy.pick(file)
        self.loads[node] += 1
        self._policy.changed(node)
        return node

    def _leave(self, node: int) -> None:
        self.loads[node] -= 1
        self._policy.changed(node)

    def _run_until(self, now: float) -> None:
        events = self._events
        while events and events[0][0] <= now:
            due, node = heappop(events)
            if due == self._due[node]:
                self._due[node] = float("inf")
                self.nodes[node].handle_due(due)
                self._after(node, due)

    def _after(self, index: int, now: float) -> None:
        """Count the requests that have ended at a node, and schedule its next event.

        An earlier event that is already scheduled stays: it finds nothing to do, and schedules the next one.
        """
        node, tally = self.nodes[index], self._tally
        for request, outcome in node.ended:
            self._leave(index)
            if request.since >= self._counted_from:
                tally.outcomes[outcome] += 1
                if outcome is RequestResult.SERVED:
                    tally.waits.append(request.started_at - request.since)
                    alone = request.size / self._spec.client_rates[request.kind]
                    tally.stretches.append((now - request.started_at) / alone)
        node.ended.clear()
        tally.most_running = max(tally.most_running, node.running)
        tally.most_waiting = max(tally.most_waiting, node.waiting)
        due = node.next_event_at()
        if due < self._due[index]:
            self._due[index] = due
            heappush(self._events, (due, index))

    def _bytes_at(self, now: float) -> list[_Bytes]:
        self._run_until(now)
        for node in self.nodes:
            node.advance_to(now)
        return [(node.sent, node.read, node.touched, node.missed) for node in self.nodes]

    def _count_bytes(self, before: Sequence[_Bytes], after: Sequence[_Bytes]) -> None:
        tally = self._tally
        for old, new in zip(before, after, strict=True):
            tally.sent.append(new[0] - old[0])
            tally.read.append(new[1] - old[1])
            tally.touched.append(new[2] - old[2])
            tally.missed.append(new[3] - old[3])
