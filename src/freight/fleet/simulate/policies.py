"""PURE. The policies by which a balancer picks a node. It knows how many requests each node has, running or waiting.

Consistent hashing is exactly HAProxy's (``hash-type consistent sdbm avalanche``, ``hash-balance-factor``): a file has
the same node here as there, if the servers are in the same order.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Protocol

POINTS = 128
"""Points of a node on the ring: HAProxy makes 16 for each unit of a server's weight, so this is its ``weight 8``."""

FACTOR = 1.25
"""The most load that a node may have, in times of the mean, if loads are bounded."""

_WORD = 0xFFFFFFFF
_POINTS_MAX = 4096  # of one server, in HAProxy


class Policy(Protocol):
    """How requests are spread. ``changed`` is called for every change of ``loads``, the requests at each node."""

    def pick(self, file: int) -> int:
        """Pick the node for a request for a file."""

    def changed(self, node: int) -> None:
        """A node has one request more or less."""


class RoundRobin:
    """Each node in its turn, whatever the file."""

    def __init__(self, loads: Sequence[int]) -> None:
        self._nodes = len(loads)
        self._next = -1

    def pick(self, file: int) -> int:
        """The next node."""
        self._next = (self._next + 1) % self._nodes
        return self._next

    def changed(self, node: int) -> None:
        """Ignore it: loads do not matter here."""


class LeastConnections:
    """The node with the fewest requests; of several, the one whose number changed first.

    A heap with an entry for each change. Outdated entries are skipped, and removed when they are most of the heap.
    """

    def __init__(self, loads: Sequence[int]) -> None:
        self._loads = loads
        self._at = [0] * len(loads)
        self._change = 0
        self._heap = [(load, 0, node) for node, load in enumerate(loads)]
        heapify(self._heap)

    def pick(self, file: int) -> int:
        """The node on top of the heap, which stays there until its load changes."""
        heap = self._heap
        while heap[0][1] != self._at[heap[0][2]]:
            heappop(heap)
        return heap[0][2]

    def changed(self, node: int) -> None:
        """Add an entry for the new load."""
        self._change += 1
        self._at[node] = self._change
        heappush(self._heap, (self._loads[node], self._change, node))
        if len(self._heap) > 4 * len(self._loads) + 64:
            self._heap = [entry for entry in self._heap if entry[1] == self._at[entry[2]]]
            heapify(self._heap)


class Ring:
    """A circle of 32 bits with ``points`` of each node; a key belongs to the nearest point."""

    def __init__(self, nodes: int, points: int = POINTS) -> None:
        marks = sorted(
            _spread(server * _POINTS_MAX + point) << 32 | server
            for server in range(1, nodes + 1)
            for point in range(points)
        )
        self.places = array("L", (mark >> 32 for mark in marks))
        self.owners = array("L", ((mark & _WORD) - 1 for mark in marks))

    def nearest(self, key: int) -> int:
        """The index in ``owners`` of the point that is nearest to a key, before or after it."""
        behind = bisect_left(self.places, key) % len(self.places)
        before = behind - 1
        return before if (key - self.places[before]) & _WORD <= (self.places[behind] - key) & _WORD else behind


class Consistent:
    """Each file has its own node, by a hash ring, so that only one page cache holds it."""

    def __init__(self, loads: Sequence[int], points: int = POINTS) -> None:
        self.ring = Ring(len(loads), points)
        self._homes: dict[int, int] = {}

    def home(self, file: int) -> int:
        """The place of a file on the ring."""
        place = self._homes.get(file)
        if place is None:
            place = self._homes[file] = self.ring.nearest(key_of_target(target_of(file)))
        return place

    def pick(self, file: int) -> int:
        """The file's own node."""
        return self.ring.owners[self.home(file) % len(self.ring.owners)]

    def changed(self, node: int) -> None:
        """Ignore it: loads do not matter here."""


class Bounded(Consistent):
    """The same, but a node with ``factor`` times its share of all requests is skipped for the next on the ring.

    Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2016).
    """

    def __init__(self, loads: Sequence[int], points: int = POINTS, factor: float = FACTOR) -> None:
        super().__init__(loads, points)
        self._loads = loads
        self._percent = round(100 * factor)
        self._known = list(loads)
        self._total = sum(loads)

    def pick(self, file: int) -> int:
        """The first node with room, from the file's place on."""
        owners, loads, nodes = self.ring.owners, self._loads, len(self._loads)
        room = self.room()
        place = self.home(file)
        for step in range(len(owners)):
            node = owners[(place + step) % len(owners)]
            if loads[node] < max(1, (node + 1) * room // nodes - node * room // nodes):
                return node
        raise AssertionError("of all nodes together there is always one more than there are requests")

    def room(self) -> int:
        """How many requests all nodes together may have, including the new one."""
        return ((self._total + 1) * self._percent + 99) // 100

    def changed(self, node: int) -> None:
        """Update the sum."""
        self._total += self._loads[node] - self._known[node]
        self._known[node] = self._loads[node]


POLICIES: Mapping[str, Callable[[Sequence[int]], Policy]] = {
    "round-robin": RoundRobin,
    "least": LeastConnections,
    "consistent": Consistent,
    "bounded": Bounded,
}


def target_of(file: int) -> str:
    """The request target of a file, by its rank."""
    return f"/{file}.bin"


def key_of_target(target: str) -> int:
    """The place of a request target on the ring: the sdbm hash, spread."""
    key = 0
    for byte in target.encode():
        key = (byte + (key << 6) + (key << 16) - key) & _WORD
    return _spread(key)


def _spread(a: int) -> int:
    """Bob Jenkins' avalanche of an integer of 32 bits, times a prime near three quarters of them, as in HAProxy."""
    a = (a + 0x7ED55D16 + (a << 12)) & _WORD
    a = (a ^ 0xC761C23C ^ (a >> 19)) & _WORD
    a = (a + 0x165667B1 + (a << 5)) & _WORD
    a = ((a + 0xD3A2646C) ^ (a << 9)) & _WORD
    a = (a + 0xFD7046C5 + (a << 3)) & _WORD
    a = (a ^ 0xB55A4F09 ^ (a >> 16)) & _WORD
    return a * 3221225473 & _WORD
