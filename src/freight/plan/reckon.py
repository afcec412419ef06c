"""Calculate how many clients a budget carries, and which budget a number of clients needs.

Nothing here knows what a client costs. A :class:`~freight.flow.budget.Budget` is made as a server makes it; clients
come, are promised windows and take what it lends, and the budget is asked how much it then holds.
So a change of the budget changes the plan, and a plan cannot promise what a server does not keep. What a server learns
of a client's path from the kernel, the plan takes from the question: a round trip, and a share of the link.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, cast

from freight.account import Account
from freight.errors import Unservable
from freight.flow.budget import (
    FAR_SECONDS,
    WINDOW_MIN,
    Budget,
)
from freight.flow.budget import least_memory as least_of
from freight.flow.costs import CONNECTION_COST, MULTIPLEX_COST, STREAM_COST, TLS_COST
from freight.ports import Sink

CLIENTS_MAX = 100_000
"""The most clients that one node is planned for: ten times as many as the tests use."""

KINDS: Mapping[str, int] = {
    "clear": 0,
    "tls": TLS_COST,
    "h2": TLS_COST + MULTIPLEX_COST + STREAM_COST,
    "h2c": MULTIPLEX_COST + STREAM_COST,
}
"""Kinds of connections, and the cost of each beyond CONNECTION_COST, in bytes. A new kind is a new line."""

Mix = tuple[tuple[str, float], ...]
"""Kinds of connections and their parts, which sum up to 1."""

CLEAR: Mix = (("clear", 1.0),)

_DIGITS = 3  # of a memory that is proposed
_NEIGHBOURS = (0.5, 1, 2, 4)  # shown beside a single number: these times the number
_TOGETHER = 64  # connections that a server accepts in one turn, before the first of them runs
_FILLED = 7 / 8  # of a window: a queue is refilled when a quarter is free, so this is the average of many
_STALLED = 3 / 4  # of a window that was refilled last when nothing was free: tests/load holds it to what is measured

Bound = Literal["window", "link"]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: ``clients`` in all, ``memory_bytes`` of a node; the one that is empty is calculated.

    ``largest_bytes``: to which the kernel lets one send queue grow by itself. ``rtt_seconds``: the round-trip time,
    None for clients that are near; ``link_bytes_per_second``: the speed of a node's link, None if it is not known.
    """

    clients: Sequence[int]
    memory_bytes: Sequence[int]
    largest_bytes: int
    mix: Mix
    rtt_seconds: float | None = None
    link_bytes_per_second: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One answer: ``clients``, spread over ``nodes`` with ``memory_bytes`` each.

    All else is about the node with the most clients, ``clients_per_node`` of ``slots``. ``window_bytes``: kernel buffer
    of each client, on average, while all run. Memory of process and kernel: ``held_least_bytes`` if all clients stall,
    ``held_lent_bytes`` if all run with as much as each can be lent.
    ``rate_bytes_per_second``: the highest speed of each while all run, and what limits it; None if nothing is known of
    the link. ``asked``: this row was asked for, and is not one shown beside it.
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
    bound_by: Bound | None


def with_memory(question: Question, memory_bytes: int) -> Question:
    """The same question for this much memory."""
    return replace(question, memory_bytes=(memory_bytes,))


def answer(question: Question) -> Iterator[Row]:
    """The rows of an answer. Raises :class:`~freight.errors.Unservable` for less memory than a server accepts."""
    if not question.clients:
        for memory, asked in _with_neighbours(question.memory_bytes, least_of(CONNECTION_COST + besides(question.mix))):
            yield _row(question, asked, clients_of(memory, question.mix, question.largest_bytes), memory)
        return
    for clients, asked in _with_neighbours(question.clients, 1):
        if question.memory_bytes:
            for memory in question.memory_bytes:
                yield _row(question, asked, clients, memory)
        else:
            each = -(-clients // -(-clients // CLIENTS_MAX))
            yield _row(question, asked, clients, least_memory(each, question.mix, question.largest_bytes))


@lru_cache(maxsize=64)  # it is asked for each row with the same memory
def clients_of(memory_bytes: int, mix: Mix, largest_bytes: int) -> int:
    """How many downloads run at the same time in this much memory."""
    budget = Budget(memory_bytes, largest_bytes, besides(mix))
    return len(_come(budget, min(budget.slots, CLIENTS_MAX)))


def besides(mix: Mix) -> int:
    """The average cost of a connection beyond CONNECTION_COST for a mix, in bytes."""
    return math.ceil(sum(KINDS[kind] * part for kind, part in mix))


def least_memory(clients: int, mix: Mix, largest_bytes: int) -> int:
    """The least memory, in bytes and rounded up to three digits, in which this many clients run."""
    enough = least_of(CONNECTION_COST + besides(mix))
    short = enough - 1
    while Budget(enough, largest_bytes, besides(mix)).slots < clients:
        short, enough = enough, 2 * enough
    while enough - short > 1:
        middle = (short + enough) // 2
        if Budget(middle, largest_bytes, besides(mix)).slots < clients:
            short = middle
        else:
            enough = middle
    # A slot for each may not be enough: clients that come together wait a moment, which costs more than running.
    step: int = 10 ** max(0, len(str(enough)) - _DIGITS)
    memory = -(-enough // step) * step
    while clients_of(memory, mix, largest_bytes) < clients:
        memory += step
    return memory


def _with_neighbours(values: Sequence[int], least: int) -> Iterator[tuple[int, bool]]:
    """Each value, and whether it was asked for: a single one is shown beside others."""
    if len(values) != 1:
        yield from ((value, True) for value in values)
        return
    for value in sorted({int(values[0] * times) for times in _NEIGHBOURS}):
        if value >= least or value == values[0]:
            yield value, value == values[0]


def _row(question: Question, asked: bool, clients: int, memory_bytes: int) -> Row:
    mix, largest = question.mix, question.largest_bytes
    nodes = -(-clients // clients_of(memory_bytes, mix, largest))
    each = -(-clients // nodes)
    budget = Budget(memory_bytes, largest, besides(mix))
    path = (question.rtt_seconds or 0.0, _need(question, each))
    queues = _come(budget, each, path)
    # The cost of waiting counts as spent until it is given back, but no memory is held for it.
    process = budget.spent_bytes() - len(queues) * WINDOW_MIN - budget.slack_bytes
    window = max(sum(_fill(budget, queues)) // each, int(WINDOW_MIN * _FILLED))
    rate, bound_by = _rate(question, each, window)
    return Row(
        asked=asked,
        clients=clients,
        nodes=nodes,
        clients_per_node=each,
        memory_bytes=memory_bytes,
        slots=budget.slots,
        window_bytes=window,
        held_least_bytes=process + each * int(WINDOW_MIN * _STALLED),
        held_lent_bytes=process + window * each,
        rate_bytes_per_second=rate,
        bound_by=bound_by,
    )


def _need(question: Question, clients: int) -> int:
    """As much of the kernel's memory as one of so many clients needs at most, in bytes: its path decides.

    Over a far one it needs twice what its equal share of the link has on its way in one round trip; as much as it can
    have, if nothing is known of the link.
    """
    rtt, link = question.rtt_seconds, question.link_bytes_per_second
    if rtt is None or rtt < FAR_SECONDS or link is None:
        return question.largest_bytes  # of a near one the budget knows better
    return math.ceil(2 * rtt * link / clients)


def _rate(question: Question, clients: int, window_bytes: int) -> tuple[float | None, Bound | None]:
    rtt, link = question.rtt_seconds, question.link_bytes_per_second
    by: dict[Bound, float] = {}
    if rtt is not None:
        by["window"] = window_bytes / rtt
    if link is not None:
        by["link"] = link / clients
    bound = min(by, key=lambda name: by[name], default=None)
    return (None, None) if bound is None else (by[bound], bound)


class _Queue:
    """The part of a :class:`~freight.ports.Sink` that a budget needs, of a client whose bytes are all on their way."""

    __slots__ = ("_path", "account")

    def __init__(self, path: tuple[float, int]) -> None:
        self.account = Account()
        self._path = path

    def held(self) -> int:
        """All that was handed over."""
        return self.account.base + self.account.over

    def path(self) -> tuple[float, int, int]:
        """As it is asked for, with plenty of room at the client."""
        return (*self._path, 1 << 30)


def _come(budget: Budget, clients: int, path: tuple[float, int] = (0.0, 0)) -> list[Sink]:
    """Let clients come, in groups as a server accepts them; return the queues of those that run.

    ``path``: of each, the round trip in seconds, and how many bytes it takes.
    """
    queues: list[Sink] = []
    for begun in range(0, clients, _TOGETHER):
        together = range(begun, min(clients, begun + _TOGETHER))
        for _ in together:
            if not budget.can_open():
                return queues
            budget.opened()
        for _ in together:
            if len(queues) >= budget.slots or not budget.can_run():
                return queues
            queue = cast("Sink", _Queue(path))
            budget.promise(queue)
            queues.append(queue)
    return queues


def _fill(budget: Budget, queues: Sequence[Sink]) -> Iterator[int]:
    """Let all clients fill what they are lent; what each then has in the kernel, in bytes."""
    for queue in queues:
        held = int(budget.window(queue, 0) * _FILLED)
        budget.note(queue, held)
        yield held


def parse_mix(text: str) -> Mix:
    """Read ``clear=1``, or ``KIND=PART,...``; parts are numbers of any scale. Raises Unservable."""
    parts: dict[str, float] = {}
    for word in text.split(","):
        kind, _, number = word.strip().partition("=")
        if kind not in KINDS:
            raise Unservable(f"--mix: there is no kind {kind!r}; there are {', '.join(KINDS)}")
        try:
            part = float(number)
        except ValueError:
            part = -1.0
        if not 0 <= part < math.inf or kind in parts:
            raise Unservable(f"--mix: {word.strip()!r} is not KIND=PART; write each kind once, as in {kind}=1")
        parts[kind] = part
    total = sum(parts.values())
    if not total:
        raise Unservable(f"--mix: all parts of {text!r} are 0; one must be more than 0")
    return tuple((kind, part / total) for kind, part in parts.items())
