"""How many clients a budget carries, and which budget so many clients need.

Nothing here knows what a client costs. A :class:`~freight.flow.budget.Budget` is made as a server makes it; clients
come to it, are promised windows, take what it lends, and stand still, and what it then says of itself is written down.
So a change of the budget is a change of the plan, and a plan cannot promise what a server does not keep.
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
    CONNECTION_COST,
    MULTIPLEX_COST,
    STREAM_COST,
    TLS_COST,
    TRUSTED_BYTES,
    WINDOW_MIN,
    Budget,
)
from freight.flow.budget import least_memory as least_of
from freight.ports import Sink

CLIENTS_MAX = 100_000
"""The most one node is planned for: ten times as many as the tests hold at once."""

KINDS: Mapping[str, int] = {
    "clear": 0,
    "tls": TLS_COST,
    "h2": TLS_COST + MULTIPLEX_COST + STREAM_COST,
    "h2c": MULTIPLEX_COST + STREAM_COST,
}
"""Kinds of connections, and what each costs beyond CONNECTION_COST: a kind with a cost of its own is one more line."""

Mix = tuple[tuple[str, float], ...]
"""Which part of the clients is of which kind; the parts come to 1."""

CLEAR: Mix = (("clear", 1.0),)

_DIGITS = 3  # of a memory that is proposed
_NEIGHBOURS = (0.5, 1, 2, 4)  # times what was asked
_TOGETHER = 64  # connections that a server accepts in one turn, before the first of them runs
_FILLED = 7 / 8  # of a window: a queue is filled up when a quarter is free, so that of many each has so much on average

Bound = Literal["window", "link"]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. ``clients`` at once, in all; ``memory_bytes`` of a node; what is empty is answered.

    ``largest_bytes``: what a kernel lets one send queue grow to by itself. ``rtt_seconds``: how long an
    acknowledgement takes; ``link_bytes_per_second``: what a node's link carries; None where it is not known.
    """

    clients: Sequence[int]
    memory_bytes: Sequence[int]
    largest_bytes: int
    mix: Mix
    rtt_seconds: float | None = None
    link_bytes_per_second: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One answer: so many ``clients``, spread over ``nodes`` of so much ``memory_bytes`` each.

    All else is of the node with the most clients, ``clients_per_node`` of ``slots``. ``window_bytes``: what each has
    in the kernel, on average, while all run; ``bounded``: by us, and not only by the kernel.
    What process and kernel hold for them together when all stand still: ``held_least_bytes`` if each has its least
    window, ``held_lent_bytes`` if it has filled what it was lent (at most that, where it is not bounded).
    ``still``: how many run at least, if each stands still from its first bytes on; the others wait.
    ``rate_bytes_per_second``: what each reaches at most while all run, and what bounds it; None where nothing is known
    of the link. ``asked``: not a neighbour of what was asked.
    """

    asked: bool
    clients: int
    nodes: int
    clients_per_node: int
    memory_bytes: int
    slots: int
    window_bytes: int
    bounded: bool
    held_least_bytes: int
    held_lent_bytes: int
    still: int
    rate_bytes_per_second: float | None
    bound_by: Bound | None


def with_memory(question: Question, memory_bytes: int) -> Question:
    """The same question of so much memory."""
    return replace(question, memory_bytes=(memory_bytes,))


def answer(question: Question) -> Iterator[Row]:
    """The rows of an answer. Raises :class:`~freight.errors.Unservable` for less memory than a server takes."""
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


@lru_cache(maxsize=64)  # of a given memory it is asked for each row
def clients_of(memory_bytes: int, mix: Mix, largest_bytes: int) -> int:
    """How many downloads run at once in so much memory, of as many as like to come."""
    budget = Budget(memory_bytes, largest_bytes, besides(mix))
    return len(_come(budget, min(budget.slots, CLIENTS_MAX)))


def besides(mix: Mix) -> int:
    """What a connection costs beyond CONNECTION_COST on the average of a mix, in bytes."""
    return math.ceil(sum(KINDS[kind] * part for kind, part in mix))


def least_memory(clients: int, mix: Mix, largest_bytes: int) -> int:
    """The least memory, in bytes, in which so many run at once, in a number of three digits."""
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
    # A slot for each may not be enough: they come together, and who waits a moment costs more than who runs.
    step: int = 10 ** max(0, len(str(enough)) - _DIGITS)
    memory = -(-enough // step) * step
    while clients_of(memory, mix, largest_bytes) < clients:
        memory += step
    return memory


def _with_neighbours(values: Sequence[int], least: int) -> Iterator[tuple[int, bool]]:
    """Each value, and whether it was asked for: one alone has company."""
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
    queues = _come(budget, each)
    # What waiting cost them is spent until it has been given back, but held it is not.
    process = budget.spent_bytes() - len(queues) * WINDOW_MIN - budget.slack_bytes
    bounded = _fill(budget, queues, largest)
    window = budget.pinned // each
    rate, bound_by = _rate(question, each, window)
    return Row(
        asked=asked,
        clients=clients,
        nodes=nodes,
        clients_per_node=each,
        memory_bytes=memory_bytes,
        slots=budget.slots,
        window_bytes=window,
        bounded=bounded,
        held_least_bytes=process + int(each * WINDOW_MIN * _FILLED),
        held_lent_bytes=process + budget.pinned,
        still=len(_come(Budget(memory_bytes, largest, besides(mix)), each, still=True)),
        rate_bytes_per_second=rate,
        bound_by=bound_by,
    )


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
    """What a budget needs of a :class:`~freight.ports.Sink`: the send queue of a client that takes nothing."""

    __slots__ = ("account",)

    def __init__(self) -> None:
        self.account = Account()

    def held(self) -> int:
        """All that was handed over."""
        return self.account.pinned

    def offered(self) -> int:
        """Plenty of room at the client."""
        return 1 << 30


def _come(budget: Budget, clients: int, *, still: bool = False) -> list[Sink]:
    """Clients come, so many together as a server accepts together; the queues of those that run, until one does not.

    ``still``: each fills the window of a newcomer and takes nothing any more, before the next one comes.
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
            queue = cast("Sink", _Queue())
            budget.promise(queue)
            queues.append(queue)
            if still:
                budget.note(queue, budget.window(queue, 0, 0, quick=True))
    return queues


def _fill(budget: Budget, queues: Sequence[Sink], largest_bytes: int) -> bool:
    """All have come far; each fills what it is lent, and stands still. Whether a window is ours, not the kernel's."""
    bounded = False
    for queue in queues:
        window = budget.window(queue, 0, TRUSTED_BYTES, quick=True)
        bounded = bounded or bool(window)
        budget.note(queue, int(window * _FILLED) if window else largest_bytes)
    return bounded


def parse_mix(text: str) -> Mix:
    """``clear=1``, or ``KIND=PART,...``; parts are numbers of any scale. Raises Unservable with what is known."""
    parts: dict[str, float] = {}
    for word in text.split(","):
        kind, _, number = word.strip().partition("=")
        if kind not in KINDS:
            raise Unservable(f"--mix: there is no kind {kind!r}; known is {', '.join(KINDS)}")
        try:
            part = float(number)
        except ValueError:
            part = -1.0
        if not 0 <= part < math.inf or kind in parts:
            raise Unservable(f"--mix: {word.strip()!r} is not a part; write each kind once, as in {kind}=1")
        parts[kind] = part
    total = sum(parts.values())
    if not total:
        raise Unservable(f"--mix: the parts of {text!r} come to nothing; one must be more than 0")
    return tuple((kind, part / total) for kind, part in parts.items())
