"""What is asked of the model, and what it answers: a row for each number of nodes and each policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from freight.fleet.simulate.arrivals import Arrival, Catalogue, Draws, sizes_of
from freight.fleet.simulate.model import Fleet, Tally
from freight.fleet.simulate.node import Machine, Outcome
from freight.fleet.simulate.policies import POLICIES
from freight.fleet.simulate.room import room_of

REQUESTS_MIN, REQUESTS_EACH = 20_000, 100
"""How many requests are simulated, if it is not said: so many in all, or so many for each node."""

LOAD = 0.7
"""How much of the links is asked for, if no number of requests is said."""

_WARMED_TIMES = 3  # the bytes of a page cache, so that even the tail of what is asked for has come by
_WARMED_MOST = 3_000_000  # requests, so that ten thousand nodes are warm within half a minute
_TOLD = 1000  # requests, between two words about progress
_UNCOUNTED = 4  # one in so many requests comes first and is not counted


@dataclass(frozen=True, slots=True)
class Question:
    """A fleet and its load. ``clients``: how fast the kinds of them are, in bytes a second, and their parts.

    ``arrivals``: requests a second for each node. ``memory_bytes``, ``queue``, ``max_wait_seconds``: what each node is
    told by the settings of these names; ``link`` and ``disk`` in bytes a second, ``cache_bytes`` of its page cache.
    ``requests``: how many are simulated in a row, None: as many as suit. ``seeds``: each has a row of its own.
    ``largest_bytes``: a kernel's largest queue.
    """

    nodes: Sequence[int]
    policies: Sequence[str]
    catalogue: Catalogue
    clients: Sequence[tuple[int, float]]
    arrivals: float
    memory_bytes: int
    queue: int
    max_wait_seconds: float
    link: int
    disk: int
    cache_bytes: int
    chunk_bytes: int
    requests: int | None
    seeds: Sequence[int]
    largest_bytes: int


@dataclass(frozen=True, slots=True)
class Row:
    """What one fleet did, of the requests that are counted, within ``seconds``.

    Refused are those who found the line full, and who waited in it for too long (``late``). Of those who were served,
    waits are in seconds, and ``slowed`` is how many times as long a download took as its client would have taken alone.
    ``hits``: the part of the bytes that was in a page cache; ``busiest``: what the busiest node has sent, the mean
    being 1; ``most_running`` and ``most_waiting``: at one node at once. Bytes are of all nodes together.
    """

    nodes: int
    policy: str
    seed: int
    arrived: int
    served: int
    full: int
    late: int
    wait_mean_seconds: float
    wait_p50_seconds: float
    wait_p90_seconds: float
    wait_p99_seconds: float
    slowed_p50: float
    slowed_p99: float
    hits: float
    read_bytes: int
    sent_bytes: int
    seconds: float
    busiest: float
    most_running: int
    most_waiting: int

    @property
    def refused(self) -> float:
        """The part of those who came that was sent away."""
        return (self.full + self.late) / self.arrived if self.arrived else 0.0


def machine_of(question: Question) -> Machine:
    """A node, with the slots that its memory has. Raises :class:`~freight.errors.Unservable` for too little of it."""
    return Machine(
        room=room_of(question.memory_bytes, question.queue, question.largest_bytes),
        max_wait_seconds=question.max_wait_seconds,
        link=question.link,
        disk=question.disk,
        cache_bytes=question.cache_bytes,
        chunk_bytes=question.chunk_bytes,
        client_rates=[rate for rate, _ in question.clients],
    )


def steps(question: Question) -> int:
    """How many requests all rows have together, those for warming the page caches included: for a progress bar."""
    each = sum(requests_of(question, nodes) + warming_of(question, nodes) for nodes in question.nodes)
    return each * len(question.policies) * len(question.seeds)


def requests_of(question: Question, nodes: int) -> int:
    """How many come in a row of so many nodes."""
    return question.requests or max(REQUESTS_MIN, REQUESTS_EACH * nodes)


def warming_of(question: Question, nodes: int) -> int:
    """How many fill the page caches beforehand."""
    each = -(-_WARMED_TIMES * question.cache_bytes // question.catalogue.mean_bytes)
    return min(_WARMED_MOST, each * nodes)


def answer(question: Question, tell: Callable[[int], object] = lambda _: None) -> Iterator[Row]:
    """The rows: for each number of nodes each policy, and of that each seed. ``tell``: how many more requests came."""
    machine = machine_of(question)
    sizes = {seed: sizes_of(question.catalogue, seed) for seed in question.seeds}
    for nodes in question.nodes:
        for policy in question.policies:
            for seed in question.seeds:
                yield _row(question, Fleet(nodes, machine, sizes[seed], POLICIES[policy]), policy, seed, tell)


def _row(question: Question, fleet: Fleet, policy: str, seed: int, tell: Callable[[int], object]) -> Row:
    nodes, parts = len(fleet.nodes), [part for _, part in question.clients]
    rate, requests, warming = question.arrivals * nodes, requests_of(question, nodes), warming_of(question, nodes)
    fleet.warm(_told(Draws(question.catalogue, parts, seed, "warm").arrivals(rate, warming), tell))
    arrivals = _told(Draws(question.catalogue, parts, seed, "come").arrivals(rate, requests), tell)
    return row_of(nodes, policy, seed, fleet.run(arrivals, requests / rate / _UNCOUNTED))


def _told(arrivals: Iterable[Arrival], tell: Callable[[int], object]) -> Iterator[Arrival]:
    """The same, and whenever a thousand have come that is told."""
    number = 0
    for number, arrival in enumerate(arrivals, 1):
        yield arrival
        if number % _TOLD == 0:
            tell(_TOLD)
    tell(number % _TOLD)


def machine_slots(question: Question) -> int:
    """How many run at once at a node at most, when nobody waits."""
    return room_of(question.memory_bytes, 0, question.largest_bytes)[0]


def row_of(nodes: int, policy: str, seed: int, tally: Tally) -> Row:
    """A tally in numbers."""
    waits, stretches = sorted(tally.waits), sorted(tally.stretches)
    sent, touched = sum(tally.sent), sum(tally.touched)
    return Row(
        nodes=nodes,
        policy=policy,
        seed=seed,
        arrived=tally.arrived,
        served=tally.outcomes[Outcome.SERVED],
        full=tally.outcomes[Outcome.FULL],
        late=tally.outcomes[Outcome.LATE],
        wait_mean_seconds=sum(waits) / len(waits) if waits else 0.0,
        wait_p50_seconds=quantile(waits, 0.5),
        wait_p90_seconds=quantile(waits, 0.9),
        wait_p99_seconds=quantile(waits, 0.99),
        slowed_p50=quantile(stretches, 0.5),
        slowed_p99=quantile(stretches, 0.99),
        hits=1 - sum(tally.missed) / touched if touched else 0.0,
        read_bytes=round(sum(tally.read)),
        sent_bytes=round(sent),
        seconds=tally.seconds,
        busiest=max(tally.sent) * nodes / sent if sent else 0.0,
        most_running=tally.most_running,
        most_waiting=tally.most_waiting,
    )


def quantile(ordered: Sequence[float], part: float) -> float:
    """The least of them that so large a part does not exceed; 0.0 of none."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0
