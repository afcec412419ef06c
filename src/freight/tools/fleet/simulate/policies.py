"""PURE. The policies by which a balancer picks a node. It knows how many requests each node has, running or waiting.

Consistent hashing is exactly HAProxy's (``hash-type consistent sdbm avalanche``, ``hash-balance-factor``): both give a
file to one node, if the servers are in one order.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Protocol

POINTS = 128
"""Points of a node on the ring. HAProxy makes 16 for each unit of a server's weight, so this is its ``weight 8``."""

FACTOR = 1.25
"""Largest load of a node as a multiple of the mean, if loads are bounded."""

_WORD = 0xFFFFFFFF
_POINTS_MAX = 4096  # of one server, in HAProxy


class Policy(Protocol):
    """Spreads requests. The caller calls ``changed`` after every change of ``loads``, the requests at each node."""

    def pick(self, file: int) -> int:
        """Pick the node for a request for a file."""

    def changed(self, node: int) -> None:
        """Note that a node has one request more or less."""


class RoundRobin:
    """Picks the nodes in rotation, whatever the file."""

    def __init__(self, loads: Sequence[int]) -> None:
        self._nodes = len(loads)
        self._next = -1

    def pick(self, file: int) -> int:
        self._next = (self._next + 1) % self._nodes
        return self._next

    def changed(self, node: int) -> None:
        """Do nothing: loads do not matter here."""


class LeastConnections:
    """Picks the node with the fewest requests; of several, the one whose number changed first.

    A heap with an entry for each change. Outdated entries are skipped, and removed when they are most of the heap.
    """

    def __init__(self, loads: Sequence[int]) -> None:
        self._loads = loads
        self._at = [0] * len(loads)
        self._change = 0
        self._heap = [(load, 0, node) for node, load in enumerate(loads)]
        heapify(self._heap)

    def pick(self, file: int) -> int:
        """Return the node at the top of the heap, which stays there until its load changes."""
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


class HashRing:
    """A ring of 32-bit numbers with ``points`` of each node; a key belongs to the nearest point."""

    def __init__(self, nodes: int, points: int = POINTS) -> None:
        marks = sorted(
            _mixed(server * _POINTS_MAX + point) << 32 | server
            for server in range(1, nodes + 1)
            for point in range(points)
        )
        self.places = array("L", (mark >> 32 for mark in marks))
        self.owners = array("L", ((mark & _WORD) - 1 for mark in marks))

    def nearest(self, key: int) -> int:
        """Return the index in ``owners`` of the point that is nearest to a key."""
        after = bisect_left(self.places, key) % len(self.places)
        before = after - 1
        return before if (key - self.places[before]) & _WORD <= (self.places[after] - key) & _WORD else after


class Consistent:
    """Picks the file's own node, by a hash ring, so that only one page cache holds the file."""

    def __init__(self, loads: Sequence[int], points: int = POINTS) -> None:
        self.ring = HashRing(len(loads), points)
        self._homes: dict[int, int] = {}

    def home(self, file: int) -> int:
        """Return the index of a file on the ring."""
        place = self._homes.get(file)
        if place is None:
            place = self._homes[file] = self.ring.nearest(key_of_target(target_of(file)))
        return place

    def pick(self, file: int) -> int:
        return self.ring.owners[self.home(file) % len(self.ring.owners)]

    def changed(self, node: int) -> None:
        """Do nothing: loads do not matter here."""


class Bounded(Consistent):
    """Like Consistent, but skips a node that has FACTOR times its share of all requests.

    Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2016).
    """

    def __init__(self, loads: Sequence[int], points: int = POINTS) -> None:
        super().__init__(loads, points)
        self._loads = loads
        self._percent = round(100 * FACTOR)
        self._known = list(loads)
        self._total = sum(loads)

    def pick(self, file: int) -> int:
        """Return the first node below its limit, from the file's point on."""
        owners, loads, nodes = self.ring.owners, self._loads, len(self._loads)
        limit = self.total_limit()
        place = self.home(file)
        for step in range(len(owners)):
            node = owners[(place + step) % len(owners)]
            if loads[node] < max(1, (node + 1) * limit // nodes - node * limit // nodes):
                return node
        raise AssertionError("all nodes are at their limits, which add up to more than all requests")

    def total_limit(self) -> int:
        """Return how many requests all nodes together may have, including the new one."""
        return ((self._total + 1) * self._percent + 99) // 100

    def changed(self, node: int) -> None:
        self._total += self._loads[node] - self._known[node]
        self._known[node] = self._loads[node]


POLICIES: Mapping[str, Callable[[Sequence[int]], Policy]] = {
    "round-robin": RoundRobin,
    "least": LeastConnections,
    "consistent": Consistent,
    "bounded": Bounded,
}


def target_of(file: int) -> str:
    """Return the request target of a file, by its rank."""
    return f"/{file}.bin"


def key_of_target(target: str) -> int:
    """Return the point of a request target on the ring: its sdbm hash, mixed."""
    key = 0
    for byte in target.encode():
        key = (byte + (key << 6) + (key << 16) - key) & _WORD
    return _mixed(key)


def _mixed(a: int) -> int:
    """Return Bob Jenkins' avalanche hash of a 32-bit integer, times a prime near 3/4 of 2**32, as in HAProxy."""
    a = (a + 0x7ED55D16 + (a << 12)) & _WORD
    a = (a ^ 0xC761C23C ^ (a >> 19)) & _WORD
    a = (a + 0x165667B1 + (a << 5)) & _WORD
    a = ((a + 0xD3A2646C) ^ (a << 9)) & _WORD
    a = (a + 0xFD7046C5 + (a << 3)) & _WORD
    a = (a ^ 0xB55A4F09 ^ (a >> 16)) & _WORD
    return a * 3221225473 & _WORD
