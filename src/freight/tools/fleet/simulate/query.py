"""A query to the model, and its answer: one row for each number of nodes and each policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from freight.tools.fleet.simulate.arrivals import Arrival, Catalogue, Sampler, sizes_of
from freight.tools.fleet.simulate.model import Fleet, Tally
from freight.tools.fleet.simulate.node import NodeSpec, RequestResult
from freight.tools.fleet.simulate.policies import POLICIES
from freight.tools.fleet.simulate.slots import slots_by_waiting

REQUESTS_MIN, REQUESTS_EACH = 20_000, 100
"""Requests that are simulated by default: at least this many in all, and this many for each node."""

LOAD = 0.7
"""Load as a fraction of the links, if the query has no number of requests."""

_WARM_UP_TIMES = 3  # times the bytes of a page cache, so that even rare files have been requested
_WARM_UP_MAX = 3_000_000  # requests, so that ten thousand nodes are warm within half a minute
_PROGRESS_STEP = 1000  # requests between two reports of progress
_UNCOUNTED_DIVISOR = 4  # the first quarter of the requests is not counted


@dataclass(frozen=True, slots=True)
class SimulationQuery:
    """A fleet and its load. ``clients``: speeds in bytes per second, and the fraction of clients with each.

    ``arrivals``: requests per second for each node. ``memory_bytes``, ``queue_size``, ``queue_timeout_seconds``: the
    settings of each node. ``link``, ``disk``: in bytes per second. ``cache_bytes``: its page cache. ``requests``: to
    simulate in each row, None for the default. ``seeds``: each has a row. ``largest_bytes``: limit of a send queue.
    """

    nodes: Sequence[int]
    policies: Sequence[str]
    catalogue: Catalogue
    clients: Sequence[tuple[int, float]]
    arrivals: float
    memory_bytes: int
    queue_size: int
    queue_timeout_seconds: float
    link: int
    disk: int
    cache_bytes: int
    chunk_bytes: int
    requests: int | None
    seeds: Sequence[int]
    largest_bytes: int


@dataclass(frozen=True, slots=True)
class SimulationRow:
    """The result for one fleet, of the counted requests within ``seconds``.

    Rejected requests found the queue ``full``, or waited too long (``late``). For the others: waits in seconds, and
    ``slowed``, the time of a download divided by the time that its client alone would need. ``hits``: the fraction of
    the bytes that came from a page cache. ``busiest``: bytes of the busiest node, divided by the mean.
    ``most_running`` and ``most_waiting``: at one node. Bytes are those of all nodes together.
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
        """Return the fraction of the requests that got 503."""
        return (self.full + self.late) / self.arrived if self.arrived else 0.0


def node_spec(query: SimulationQuery) -> NodeSpec:
    """Return a node, with the slots of its memory. Raises ConfigurationError for too little memory."""
    return NodeSpec(
        slots_by_waiting=slots_by_waiting(query.memory_bytes, query.queue_size, query.largest_bytes),
        queue_timeout_seconds=query.queue_timeout_seconds,
        link=query.link,
        disk=query.disk,
        cache_bytes=query.cache_bytes,
        chunk_bytes=query.chunk_bytes,
        client_rates=[rate for rate, _ in query.clients],
    )


def total_requests(query: SimulationQuery) -> int:
    """Return the number of requests of all rows, with those that warm the page caches, for a progress bar."""
    each = sum(requests_per_row(query, nodes) + warm_up_requests(query, nodes) for nodes in query.nodes)
    return each * len(query.policies) * len(query.seeds)


def requests_per_row(query: SimulationQuery, nodes: int) -> int:
    """Return how many requests are simulated in a row for ``nodes``."""
    return query.requests or max(REQUESTS_MIN, REQUESTS_EACH * nodes)


def warm_up_requests(query: SimulationQuery, nodes: int) -> int:
    """Return how many requests fill the page caches first."""
    each = -(-_WARM_UP_TIMES * query.cache_bytes // query.catalogue.mean_bytes)
    return min(_WARM_UP_MAX, each * nodes)


def answer(query: SimulationQuery, on_progress: Callable[[int], object] = lambda _: None) -> Iterator[SimulationRow]:
    """Yield the rows by nodes, policy and seed. ``on_progress`` gets the number of requests since its last call."""
    machine = node_spec(query)
    sizes = {seed: sizes_of(query.catalogue, seed) for seed in query.seeds}
    for nodes in query.nodes:
        for policy in query.policies:
            for seed in query.seeds:
                yield _row(query, Fleet(nodes, machine, sizes[seed], POLICIES[policy]), policy, seed, on_progress)


def _row(
    query: SimulationQuery, fleet: Fleet, policy: str, seed: int, on_progress: Callable[[int], object]
) -> SimulationRow:
    nodes, parts = len(fleet.nodes), [part for _, part in query.clients]
    rate, requests, warming = (
        query.arrivals * nodes,
        requests_per_row(query, nodes),
        warm_up_requests(query, nodes),
    )
    fleet.warm_up(_counted(Sampler(query.catalogue, parts, seed, "warm").arrivals(rate, warming), on_progress))
    arrivals = _counted(Sampler(query.catalogue, parts, seed, "come").arrivals(rate, requests), on_progress)
    return row_of(nodes, policy, seed, fleet.run(arrivals, requests / rate / _UNCOUNTED_DIVISOR))


def _counted(arrivals: Iterable[Arrival], on_progress: Callable[[int], object]) -> Iterator[Arrival]:
    """Yield the arrivals, and call ``on_progress`` after every thousand."""
    number = 0
    for number, arrival in enumerate(arrivals, 1):
        yield arrival
        if number % _PROGRESS_STEP == 0:
            on_progress(_PROGRESS_STEP)
    on_progress(number % _PROGRESS_STEP)


def node_slots(query: SimulationQuery) -> int:
    """Return how many downloads run at a node while no request waits."""
    return slots_by_waiting(query.memory_bytes, 0, query.largest_bytes)[0]


def row_of(nodes: int, policy: str, seed: int, tally: Tally) -> SimulationRow:
    """Return the numbers of a tally."""
    waits, stretches = sorted(tally.waits), sorted(tally.stretches)
    sent, touched = sum(tally.sent), sum(tally.touched)
    return SimulationRow(
        nodes=nodes,
        policy=policy,
        seed=seed,
        arrived=tally.arrived,
        served=tally.outcomes[RequestResult.SERVED],
        full=tally.outcomes[RequestResult.FULL],
        late=tally.outcomes[RequestResult.LATE],
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
    """Return a quantile of sorted values; 0.0 if there are none."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0
