"""The question to the model, and its answer: one row for each number of nodes and each policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from freight.fleet.simulate.arrivals import Arrival, Catalogue, Draws, sizes_of
from freight.fleet.simulate.model import Fleet, Tally
from freight.fleet.simulate.node import Machine, Outcome
from freight.fleet.simulate.policies import POLICIES
from freight.fleet.simulate.room import room_of

REQUESTS_MIN, REQUESTS_EACH = 20_000, 100
"""Requests that are simulated by default: at least this many in all, and this many for each node."""

LOAD = 0.7
"""The load in parts of the links, if no number of requests is given."""

_WARMED_TIMES = 3  # the bytes of a page cache, so that even rare files have been requested
_WARMED_MOST = 3_000_000  # requests, so that ten thousand nodes are warm within half a minute
_TOLD = 1000  # requests between two reports of progress
_UNCOUNTED = 4  # the first quarter of the requests is not counted


@dataclass(frozen=True, slots=True)
class Question:
    """A fleet and its load. ``clients``: speeds in bytes per second, and the part of the clients with each.

    ``arrivals``: requests per second for each node. ``memory_bytes``, ``queue``, ``max_wait_seconds``: the settings of
    each node; ``link`` and ``disk``: in bytes per second; ``cache_bytes``: its page cache. ``requests``: to simulate in
    each row, None for the default. ``seeds``: each has its own row. ``largest_bytes``: the kernel's largest queue.
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
    """The result for one fleet: of the requests that are counted, within ``seconds``.

    Refused requests found the queue ``full``, or waited in it for too long (``late``). Of the others: waits in seconds,
    and ``slowed``, the time of a download divided by the time that its client alone would need. ``hits``: the part of
    the bytes that came from a page cache; ``busiest``: bytes of the busiest node, divided by the mean;
    ``most_running`` and ``most_waiting``: at one node at the same time. Bytes are those of all nodes together.
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
        """The part of the requests that got 503."""
        return (self.full + self.late) / self.arrived if self.arrived else 0.0


def machine_of(question: Question) -> Machine:
    """A node, with the slots of its memory. Raises :class:`~freight.errors.Unservable` for too little memory."""
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
    """Requests of all rows together, including those that warm the page caches; for a progress bar."""
    each = sum(requests_of(question, nodes) + warming_of(question, nodes) for nodes in question.nodes)
    return each * len(question.policies) * len(question.seeds)


def requests_of(question: Question, nodes: int) -> int:
    """How many requests are simulated in the row of a number of nodes."""
    return question.requests or max(REQUESTS_MIN, REQUESTS_EACH * nodes)


def warming_of(question: Question, nodes: int) -> int:
    """How many requests fill the page caches before."""
    each = -(-_WARMED_TIMES * question.cache_bytes // question.catalogue.mean_bytes)
    return min(_WARMED_MOST, each * nodes)


def answer(question: Question, tell: Callable[[int], object] = lambda _: None) -> Iterator[Row]:
    """The rows, by nodes, policy and seed. ``tell`` is called with the number of requests since the last call."""
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
    """The same arrivals; ``tell`` is called after every thousand."""
    number = 0
    for number, arrival in enumerate(arrivals, 1):
        yield arrival
        if number % _TOLD == 0:
            tell(_TOLD)
    tell(number % _TOLD)


def machine_slots(question: Question) -> int:
    """How many downloads run at the same time at a node, while no request waits."""
    return room_of(question.memory_bytes, 0, question.largest_bytes)[0]


def row_of(nodes: int, policy: str, seed: int, tally: Tally) -> Row:
    """The numbers of a tally."""
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
    """The least value that this part of all values does not exceed; 0.0 if there is none."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0
