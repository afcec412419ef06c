"""Three nodes behind a real load balancer do what the model of a fleet predicts, within a fifth.

The same requests are made at the same times, for the same files: once in the model, and once through Debian's HAProxy
to three servers on the loopback. freight's rate limits slow links and clients down, so that the model's parameters
decide the time, and not this machine's cores. FLEET_REQUESTS=1500 runs a longer experiment. FLEET_RECORD=FILE stores
the figures, for the page about scale.
"""

from __future__ import annotations

import json
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from freight.memory.host_limits import largest_send_queue
from freight.tools.fleet.simulate.arrivals import Arrival, Catalogue, Sampler, sizes_of
from freight.tools.fleet.simulate.model import Fleet, Tally
from freight.tools.fleet.simulate.node import NodeSpec
from freight.tools.fleet.simulate.policies import Bounded, Consistent, Policy, RoundRobin, target_of
from freight.tools.fleet.simulate.query import quantile, row_of
from freight.tools.fleet.simulate.slots import slots_by_waiting
from support import cgroups
from support.cgroups import Cgroup
from support.processes import kill_process_group
from support.processes import start_process as start_program
from support.servers import Serve, ServerProcess, find_program, wait_until
from support.trace_player import RequestOutcome, play

NODES, WEIGHT = 3, 8
LINK, CLIENT = 8_000_000, 400_000  # bytes a second
MEMORY_BYTES, QUEUE, MAX_WAIT_SECONDS = 1 << 20, 16, 2.5
FILES, LEAST_BYTES, MEAN_BYTES = 120, 1_100_000, 1_600_000  # all too long for the express lane
ARRIVALS, COUNT = (
    27.0,
    int(os.environ.get("FLEET_REQUESTS", "400")),
)  # requests a second, on all nodes together; requests in all
BURST_BYTES = 64 * 1024  # that each download may send at once: MIN_BURST_BYTES of flow/rate_limit.py
CAGE_BYTES = 96 << 20
CHUNK_BYTES = 8 << 20  # how far ahead a server fetches (flow/file_sender.py): here whole files
TOLERANCE = 0.2
BALANCES = {
    "round-robin": "balance roundrobin",
    "bounded": "balance uri\n  hash-type consistent sdbm avalanche\n  hash-balance-factor 125",
}
POLICIES: dict[str, Callable[[Sequence[int]], Policy]] = {
    "round-robin": RoundRobin,
    "bounded": lambda loads: Bounded(loads, points=16 * WEIGHT),
}


@dataclass(frozen=True, slots=True)
class Experiment:
    """The requests, for the model and for the real nodes."""

    sizes: Sequence[int]
    arrivals: Sequence[Arrival]


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    catalogue = Catalogue(FILES, MEAN_BYTES, 0.3, 0.9)
    sizes = [max(LEAST_BYTES, size) for size in sizes_of(catalogue, seed=6)]
    return Experiment(sizes, list(Sampler(catalogue, [1.0], 6, "come").arrivals(ARRIVALS, COUNT)))


@pytest.fixture
def prisons() -> Iterator[list[Cgroup]]:
    """Return a control group for each node. Where none can be made, return none and skip the test at its end."""
    with ExitStack() as stack:
        try:
            made = [stack.enter_context(cgroups.memory_cgroup(CAGE_BYTES)) for _ in range(NODES)]
        except cgroups.CgroupUnavailable as error:
            yield []
            pytest.skip(f"everything but the bytes from disks was compared: {error}")
        yield made


@pytest.fixture
def balance(tmp_path: Path) -> Iterator[Callable[[str, Sequence[ServerProcess]], int]]:
    """Return a function that starts HAProxy in front of nodes and returns its port. It ends with the test."""
    with ExitStack() as stack:

        def start(how: str, nodes: Sequence[ServerProcess]) -> int:
            listening = stack.enter_context(socket.socket())
            listening.bind(("127.0.0.1", 0))
            servers = "\n".join(
                f"  server n{number} 127.0.0.1:{node.port} weight {WEIGHT} send-proxy"
                for number, node in enumerate(nodes)
            )
            config = tmp_path / "haproxy.cfg"
            config.write_text(CONFIG.format(fd=listening.fileno(), balance=how, servers=servers))
            program = find_program("haproxy")
            assert program is not None
            engine = start_program([program, "-q", "-db", "-f", str(config)], pass_fds=[listening.fileno()])
            stack.callback(kill_process_group, engine)
            port: int = listening.getsockname()[1]
            wait_until(lambda: _answers(port), "HAProxy listens")
            return port

        yield start


CONFIG = """
global
  maxconn 4000
defaults
  mode http
  option http-server-close
  http-reuse never
  retries 0
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen fleet
  bind fd@{fd}
  http-response set-header X-Node %s
  {balance}
{servers}
"""


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def sites(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Sequence[Path]:
    """Return a copy of the files for each node."""
    roots = [tmp_path_factory.mktemp(f"node{number}") for number in range(NODES)]
    for root in roots:
        for file, size in enumerate(experiment.sizes):
            (root / target_of(file)[1:]).write_bytes(
                os.urandom(1 << 16) * (size // (1 << 16)) + bytes(size % (1 << 16))
            )
    os.sync()
    return roots


def cool(root: Path) -> None:
    """Evict the files from the page cache."""
    for path in root.iterdir():
        with path.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_bytes(node: ServerProcess) -> int:
    """Return how many bytes a node has read from the disk (``io`` in proc(5))."""
    lines = Path(f"/proc/{node.pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def model(experiment: Experiment, policy: str, cache_bytes: int) -> tuple[Tally, int]:
    """Return the prediction, and how many bytes the disks read until the last request has ended."""
    machine = NodeSpec(
        slots_by_waiting=slots_by_waiting(MEMORY_BYTES, QUEUE, largest_send_queue()),
        queue_timeout_seconds=MAX_WAIT_SECONDS,
        link=LINK,
        disk=float("inf"),
        cache_bytes=cache_bytes,
        chunk_bytes=CHUNK_BYTES,
        client_rates=[CLIENT * MEAN_BYTES / (MEAN_BYTES - BURST_BYTES)],
    )
    fleet = Fleet(NODES, machine, experiment.sizes, POLICIES[policy])
    return fleet.run(experiment.arrivals), sum(node.missed for node in fleet.nodes)


@pytest.mark.needs("haproxy")
@pytest.mark.parametrize("policy", POLICIES)
def test_three_real_nodes_do_what_the_model_predicts(
    policy: str,
    experiment: Experiment,
    prisons: list[Cgroup],
    balance: Callable[[str, Sequence[ServerProcess]], int],
    serve: Serve,
    sites: Sequence[Path],
) -> None:
    terms = ("--memory", str(MEMORY_BYTES), "--queue-size", str(QUEUE), "--queue-timeout", f"{MAX_WAIT_SECONDS:g}s")
    rates = ("--rate-limit", str(LINK), "--client-rate-limit", str(CLIENT), "--proxy-protocol")
    for root in sites:
        cool(root)
    nodes = [
        serve(root, *terms, *rates, within=prisons[number].command_prefix if prisons else ())
        for number, root in enumerate(sites)
    ]
    port = balance(BALANCES[policy], nodes)
    before = sum(map(read_bytes, nodes))
    seen = play(port, [(at, target_of(file)) for at, file, _ in experiment.arrivals])
    read = sum(map(read_bytes, nodes)) - before
    cached = sum(cell.page_cache_bytes() for cell in prisons) // NODES if prisons else sum(experiment.sizes)
    predicted, missed = model(experiment, policy, cached)
    assert {one.status for one in seen} <= {200, 503}
    assert all(one.whole for one in seen)
    if policy == "bounded":
        check_homes(seen)
    figures = figures_of(seen, predicted) | ({"bytes from disk": (read, missed)} if prisons else {})
    keep(policy, figures)
    late = max(one.at_seconds - at for one, (at, _, _) in zip(seen, experiment.arrivals, strict=True))
    for name, (real, said) in figures.items():
        assert said == pytest.approx(real, rel=TOLERANCE), f"{name}; requests came up to {late:.2f} s late (busy?)"


def check_homes(seen: Sequence[RequestOutcome]) -> None:
    """Assert that HAProxy sends most requests for a file to the node that the model says has it."""
    ring = Consistent([0] * NODES, points=16 * WEIGHT)
    homes = {target_of(file): f"n{ring.pick(file)}" for file in range(FILES)}
    assert sum(one.node == homes[one.target] for one in seen) > 0.6 * len(seen)


def figures_of(seen: Sequence[RequestOutcome], predicted: Tally) -> dict[str, tuple[float, float]]:
    """Return figures of the real nodes, each with the predicted one."""
    row = row_of(NODES, "", 6, predicted)
    served = [one for one in seen if one.status == 200]
    waits = sorted(one.wait_seconds for one in served)
    picked = Counter(one.node for one in seen)
    return {
        "served": (len(served), row.served),
        "refused": (len(seen) - len(served), row.full + row.late),
        "mean wait, s": (sum(waits) / len(waits), row.wait_mean_seconds),
        "p90 wait, s": (quantile(waits, 0.9), row.wait_p90_seconds),
        "bytes sent": (sum(one.length_in_time for one in served), row.sent_bytes),
        **{f"requests at n{node}": (picked[f"n{node}"], count) for node, count in enumerate(predicted.picked)},
    }


def keep(policy: str, figures: dict[str, tuple[float, float]]) -> None:
    """Print the figures, and add them to the file of FLEET_RECORD."""
    for name, (real, said) in figures.items():
        print(f"{name:16} {real:12.6g} real {said:12.6g} predicted {said / real - 1 if real else 0:+.1%}")
    if "FLEET_RECORD" in os.environ:
        file = Path(os.environ["FLEET_RECORD"])
        kept = json.loads(file.read_text()) if file.exists() else {}
        kept[policy] = {"requests": COUNT, "figures": figures}
        file.write_text(json.dumps(kept, indent=1) + "\n")
