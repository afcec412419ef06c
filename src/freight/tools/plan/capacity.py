"""Calculate how many clients fit in a memory budget, and which budget a number of clients needs.

This module has no costs of its own. It makes a :class:`~freight.memory.budget.Budget` as a server does, admits clients
to it, fills the windows that it lends, and reads how much it then holds. So a plan always agrees with the server. A
server reads a client's path from the kernel; the plan takes it from the query: a round trip, and a share of the link.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from freight.errors import ConfigurationError
from freight.memory.budget import LONG_PATH_SECONDS, Budget
from freight.memory.costs import CONNECTION_COST, HTTP2_COST, STREAM_COST, TLS_COST, WINDOW_MIN
from freight.memory.division import divide
from freight.memory.division import least_memory as least_of
from freight.memory.ledger import SendQueue
from freight.protocols import SendAccount

CLIENTS_MAX = 100_000
"""Largest number of clients that one node is planned for: ten times as many as the tests use."""

KINDS: Mapping[str, int] = {
    "clear": 0,
    "tls": TLS_COST,
    "h2": TLS_COST + HTTP2_COST + STREAM_COST,
    "h2c": HTTP2_COST + STREAM_COST,
}
"""Kinds of connections, and the cost of each beyond CONNECTION_COST, in bytes."""

Mix = tuple[tuple[str, float], ...]
"""Kinds of connections and their fractions, which add up to 1."""

CLEAR: Mix = (("clear", 1.0),)

_DIGITS = 3  # a proposed memory is rounded to this many digits
_NEIGHBOURS = (0.5, 1, 2, 4)  # a single number is shown beside its multiples
_ACCEPT_BATCH = 64  # connections that a server accepts before the first of them runs
_FILLED = 7 / 8  # of a window, on average: the server refills a queue when a quarter of it is free
_STALLED = 3 / 4  # of a window that was last refilled when nothing was free; tests/load compares it with measurements

LimitedBy = Literal["window", "link"]


@dataclass(frozen=True, slots=True)
class CapacityQuery:
    """``clients`` in all, and ``memory_bytes`` of a node; the one that is empty is calculated.

    ``largest_bytes``: the kernel's limit for one send queue. ``rtt_seconds``: the round-trip time, None for clients on
    short paths. ``link_bytes_per_second``: the speed of a node's link, None if it is unknown.
    """

    clients: Sequence[int]
    memory_bytes: Sequence[int]
    largest_bytes: int
    mix: Mix
    rtt_seconds: float | None = None
    link_bytes_per_second: int | None = None


@dataclass(frozen=True, slots=True)
class CapacityRow:
    """One answer: ``clients``, spread over ``nodes`` with ``memory_bytes`` each.

    The other fields are about the node with the most clients, ``clients_per_node`` of ``slots``. ``window_bytes``:
    kernel buffer of each client, on average, while all run. Memory of process and kernel: ``held_least_bytes`` if all
    clients stall, ``held_lent_bytes`` if all run with the largest windows. ``rate_bytes_per_second`` and ``bound_by``:
    highest speed of each client while all run, and what limits it; None if nothing is known of the link. ``asked``:
    the query named this row; it is not a neighbour.
    """

    asked: bool
    clients: int
    nodes: int
    clients_per_node: int
    memory_bytes: int
    slots: int
    window_bytes: int
    held_least_bytes: int
    held_lent_bytes: int
    rate_bytes_per_second: float | None
    bound_by: LimitedBy | None


def with_memory(query: CapacityQuery, memory_bytes: int) -> CapacityQuery:
    """Return the query for this much memory."""
    return replace(query, memory_bytes=(memory_bytes,))


def answer(query: CapacityQuery) -> Iterator[CapacityRow]:
    """Yield the rows of the answer. Raises ConfigurationError for less memory than a server accepts."""
    if not query.clients:
        for memory, asked in _with_neighbours(query.memory_bytes, least_of(CONNECTION_COST + extra_cost(query.mix))):
            yield _row(query, asked, clients_that_fit(memory, query.mix, query.largest_bytes), memory)
        return
    for clients, asked in _with_neighbours(query.clients, 1):
        if query.memory_bytes:
            for memory in query.memory_bytes:
                yield _row(query, asked, clients, memory)
        else:
            each = -(-clients // -(-clients // CLIENTS_MAX))
            yield _row(query, asked, clients, least_memory(each, query.mix, query.largest_bytes))


@lru_cache(maxsize=64)  # many rows have the same memory
def clients_that_fit(memory_bytes: int, mix: Mix, largest_bytes: int) -> int:
    """Return how many downloads run at the same time in this much memory."""
    budget = Budget(memory_bytes, largest_bytes, extra_cost(mix))
    return len(_admit(budget, min(budget.division.slots, CLIENTS_MAX)))


def extra_cost(mix: Mix) -> int:
    """Return the average cost of a connection beyond CONNECTION_COST, in bytes."""
    return math.ceil(sum(KINDS[kind] * fraction for kind, fraction in mix))


def least_memory(clients: int, mix: Mix, largest_bytes: int) -> int:
    """Return the least memory in which this many clients run, in bytes, rounded up to three digits."""
    cost = CONNECTION_COST + extra_cost(mix)
    enough = least_of(cost)
    short = enough - 1
    while divide(enough, cost).slots < clients:
        short, enough = enough, 2 * enough
    while enough - short > 1:
        middle = (short + enough) // 2
        if divide(middle, cost).slots < clients:
            short = middle
        else:
            enough = middle
    # A slot for each may not be enough: clients that arrive together wait a moment, which costs more than running.
    step: int = 10 ** max(0, len(str(enough)) - _DIGITS)
    memory = -(-enough // step) * step
    while clients_that_fit(memory, mix, largest_bytes) < clients:
        memory += step
    return memory


def _with_neighbours(values: Sequence[int], least: int) -> Iterator[tuple[int, bool]]:
    """Yield each value, and whether the query named it: a single one is shown beside its multiples."""
    if len(values) != 1:
        yield from ((value, True) for value in values)
        return
    for value in sorted({int(values[0] * times) for times in _NEIGHBOURS}):
        if value >= least or value == values[0]:
            yield value, value == values[0]


def _row(query: CapacityQuery, asked: bool, clients: int, memory_bytes: int) -> CapacityRow:
    mix, largest = query.mix, query.largest_bytes
    nodes = -(-clients // clients_that_fit(memory_bytes, mix, largest))
    each = -(-clients // nodes)
    budget = Budget(memory_bytes, largest, extra_cost(mix))
    path = (query.rtt_seconds or 0.0, _path_bytes(query, each))
    queues = _admit(budget, each, path)
    # The cost of waiting counts as spent until it is given back, but no memory is held for it.
    process = budget.spent_bytes() - len(queues) * WINDOW_MIN - budget.slack_bytes
    window = max(sum(_fill(budget, queues)) // each, int(WINDOW_MIN * _FILLED))
    rate, bound_by = _rate(query, each, window)
    return CapacityRow(
        asked=asked,
        clients=clients,
        nodes=nodes,
        clients_per_node=each,
        memory_bytes=memory_bytes,
        slots=budget.division.slots,
        window_bytes=window,
        held_least_bytes=process + each * int(WINDOW_MIN * _STALLED),
        held_lent_bytes=process + window * each,
        rate_bytes_per_second=rate,
        bound_by=bound_by,
    )


def _path_bytes(query: CapacityQuery, clients: int) -> int:
    """Return the most bytes of kernel memory that one of this many clients can use on its path.

    On a long path that is twice the bytes that its equal share of the link sends in a round trip. It is the kernel's
    limit if the link is unknown.
    """
    rtt, link = query.rtt_seconds, query.link_bytes_per_second
    if rtt is None or rtt < LONG_PATH_SECONDS or link is None:
        return query.largest_bytes  # the budget has a lower limit of its own for short paths
    return math.ceil(2 * rtt * link / clients)


def _rate(query: CapacityQuery, clients: int, window_bytes: int) -> tuple[float | None, LimitedBy | None]:
    rtt, link = query.rtt_seconds, query.link_bytes_per_second
    by: dict[LimitedBy, float] = {}
    if rtt is not None:
        by["window"] = window_bytes / rtt
    if link is not None:
        by["link"] = link / clients
    bound = min(by, key=lambda name: by[name], default=None)
    return (None, None) if bound is None else (by[bound], bound)


class FullQueue:
    """A :class:`~freight.memory.ledger.SendQueue` of a client that has acknowledged nothing yet.

    ``path``: its round trip in seconds, and the bytes that it can use.
    """

    __slots__ = ("_path", "account")

    def __init__(self, path: tuple[float, int] = (0.0, 0)) -> None:
        self.account = SendAccount()
        self._path = path

    def queued_bytes(self) -> int:
        """Return all bytes that the budget allowed."""
        return self.account.reserved + self.account.borrowed

    def path_info(self) -> tuple[float, int, int]:
        """Return the path, and a receive window of 1 GiB, which never limits."""
        return (*self._path, 1 << 30)


def _admit(budget: Budget, clients: int, path: tuple[float, int] = (0.0, 0)) -> list[SendQueue]:
    """Admit clients in batches, as a server accepts them; return the queues of those that run. ``path``: of each."""
    queues: list[SendQueue] = []
    for first in range(0, clients, _ACCEPT_BATCH):
        batch = range(first, min(clients, first + _ACCEPT_BATCH))
        for _ in batch:
            if not budget.can_open():
                return queues
            budget.connection_opened()
        for _ in batch:
            if len(queues) >= budget.division.slots or not budget.can_run():
                return queues
            queue = FullQueue(path)
            budget.reserve(queue)
            queues.append(queue)
    return queues


def _fill(budget: Budget, queues: Sequence[SendQueue]) -> Iterator[int]:
    """Fill the windows of all clients; yield what each then has in the kernel, in bytes."""
    for queue in queues:
        held = int(budget.window(queue, 0) * _FILLED)
        budget.record(queue, held)
        yield held


def parse_mix(text: str) -> Mix:
    """Read ``KIND=PART,...``; parts are numbers of any scale. Raises ConfigurationError."""
    parts: dict[str, float] = {}
    for word in text.split(","):
        kind, _, number = word.strip().partition("=")
        if kind not in KINDS:
            raise ConfigurationError(f"--mix: there is no kind {kind!r}; there are {', '.join(KINDS)}")
        try:
            part = float(number)
        except ValueError:
            part = -1.0
        if not 0 <= part < math.inf or kind in parts:
            raise ConfigurationError(f"--mix: {word.strip()!r} is not KIND=PART; write each kind once, as in {kind}=1")
        parts[kind] = part
    total = sum(parts.values())
    if not total:
        raise ConfigurationError(f"--mix: all parts of {text!r} are 0; one must be more than 0")
    return tuple((kind, part / total) for kind, part in parts.items())
