"""What the model of a fleet foretells is what three nodes behind a real balancer then do, within a fifth.

The same requests at the same times, for the same files: once in the model, once by HAProxy from Debian, three servers
and a crowd over the loopback. Links and clients are as slow as freight's own rates make them, so that time is decided
by what the model has been told, and not by this machine's cores. FLEET_REQUESTS=1500 plays a longer one;
FLEET_RECORD=FILE keeps the figures, for the page about scale.
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

import cages
from cages import Cage
from freight.fleet.simulate.arrivals import Arrival, Catalogue, Draws, sizes_of
from freight.fleet.simulate.model import Fleet, Tally
from freight.fleet.simulate.node import Machine
from freight.fleet.simulate.policies import Bounded, Consistent, Policy, RoundRobin, target_of
from freight.fleet.simulate.question import quantile, row_of
from freight.fleet.simulate.room import room_of
from freight.flow.limits import largest_send_queue
from processes import end
from processes import start as start_program
from serving import Served, find_program, until
from trace_player import Seen, play

NODES, WEIGHT = 3, 8
LINK, CLIENT = 8_000_000, 400_000  # bytes a second
MEMORY_BYTES, QUEUE, MAX_WAIT_SECONDS = 1 << 20, 16, 2.5
FILES, LEAST_BYTES, MEAN_BYTES = 120, 1_100_000, 1_600_000  # all longer than the express lane takes
ARRIVALS, COUNT = 27.0, int(os.environ.get("FLEET_REQUESTS", "400"))  # a second, on all nodes together; in all
BURST_BYTES = 64 * 1024  # of each download at once: what a bucket of flow/rates.py holds at first
CAGE_BYTES = 96 << 20
CHUNK_BYTES = 8 << 20  # so far ahead a server fetches what it sends (flow/pump.py): here whole files
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
    """What is played, to the model and to the real nodes."""

    sizes: Sequence[int]
    arrivals: Sequence[Arrival]


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    catalogue = Catalogue(FILES, MEAN_BYTES, 0.3, 0.9)
    sizes = [max(LEAST_BYTES, size) for size in sizes_of(catalogue, seed=6)]
    return Experiment(sizes, list(Draws(catalogue, [1.0], 6, "come").arrivals(ARRIVALS, COUNT)))


@pytest.fixture
def prisons() -> Iterator[list[Cage]]:
    """A control group for each node. Where they cannot be made there are none, and the test is skipped at its end."""
    with ExitStack() as stack:
        try:
            made = [stack.enter_context(cages.cage(CAGE_BYTES)) for _ in range(NODES)]
        except cages.Unmade as error:
            yield []
            pytest.skip(f"all but the bytes from disks was compared: {error}")
        yield made


@pytest.fixture
def balance(tmp_path: Path) -> Iterator[Callable[[str, Sequence[Served]], int]]:
    """Starts HAProxy before nodes, and says on which port it is; it ends with the test."""
    with ExitStack() as stack:

        def start(how: str, nodes: Sequence[Served]) -> int:
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
            stack.callback(end, engine)
            port: int = listening.getsockname()[1]
            until(lambda: _answers(port), "HAProxy listens")
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
    """Each node's own copy of the files."""
    roots = [tmp_path_factory.mktemp(f"node{number}") for number in range(NODES)]
    for root in roots:
        for file, size in enumerate(experiment.sizes):
            (root / target_of(file)[1:]).write_bytes(
                os.urandom(1 << 16) * (size // (1 << 16)) + bytes(size % (1 << 16))
            )
    os.sync()
    return roots


def cool(root: Path) -> None:
    """Nothing of the files is in the page cache any more."""
    for path in root.iterdir():
        with path.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_bytes(node: Served) -> int:
    """What a node has had from the disk: proc(5), ``io``."""
    lines = Path(f"/proc/{node.pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def model(experiment: Experiment, policy: str, cache_bytes: int) -> tuple[Tally, int]:
    """What is foretold, and how many bytes the disks give until the last request has ended."""
    machine = Machine(
        room=room_of(MEMORY_BYTES, QUEUE, largest_send_queue()),
        max_wait_seconds=MAX_WAIT_SECONDS,
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
def test_three_real_nodes_do_what_was_foretold(
    policy: str,
    experiment: Experiment,
    prisons: list[Cage],
    balance: Callable[[str, Sequence[Served]], int],
    serve: Callable[..., Served],
    sites: Sequence[Path],
) -> None:
    terms = ("--memory", str(MEMORY_BYTES), "--queue", str(QUEUE), "--max-wait", f"{MAX_WAIT_SECONDS:g}s")
    rates = ("--rate", str(LINK), "--per-client-rate", str(CLIENT), "--proxy-protocol")
    for root in sites:
        cool(root)
    nodes = [
        serve(root, *terms, *rates, within=prisons[number].within if prisons else ())
        for number, root in enumerate(sites)
    ]
    port = balance(BALANCES[policy], nodes)
    before = sum(map(read_bytes, nodes))
    seen = play(port, [(at, target_of(file)) for at, file, _ in experiment.arrivals])
    read = sum(map(read_bytes, nodes)) - before
    cached = sum(cell.cached() for cell in prisons) // NODES if prisons else sum(experiment.sizes)
    foretold, missed = model(experiment, policy, cached)
    assert {one.status for one in seen} <= {200, 503}
    assert all(one.whole for one in seen)
    if policy == "bounded":
        check_homes(seen)
    figures = figures_of(seen, foretold) | ({"bytes from disk": (read, missed)} if prisons else {})
    keep(policy, figures)
    late = max(one.at_seconds - at for one, (at, _, _) in zip(seen, experiment.arrivals, strict=True))
    for name, (real, said) in figures.items():
        assert said == pytest.approx(real, rel=TOLERANCE), f"{name}; requests came up to {late:.2f} s late (busy?)"


def check_homes(seen: Sequence[Seen]) -> None:
    """Where the model says that a file lives is where HAProxy sends most requests for it, but for passing over."""
    ring = Consistent([0] * NODES, points=16 * WEIGHT)
    homes = {target_of(file): f"n{ring.pick(file)}" for file in range(FILES)}
    assert sum(one.node == homes[one.target] for one in seen) > 0.6 * len(seen)


def figures_of(seen: Sequence[Seen], foretold: Tally) -> dict[str, tuple[float, float]]:
    """Figures of the real nodes, each beside the one that was foretold."""
    row = row_of(NODES, "", 6, foretold)
    served = [one for one in seen if one.status == 200]
    waits = sorted(one.wait_seconds for one in served)
    picked = Counter(one.node for one in seen)
    return {
        "served": (len(served), row.served),
        "refused": (len(seen) - len(served), row.full + row.late),
        "mean wait, s": (sum(waits) / len(waits), row.wait_mean_seconds),
        "p90 wait, s": (quantile(waits, 0.9), row.wait_p90_seconds),
        "bytes sent": (sum(one.length_in_time for one in served), row.sent_bytes),
        **{f"requests at n{node}": (picked[f"n{node}"], count) for node, count in enumerate(foretold.picked)},
    }


def keep(policy: str, figures: dict[str, tuple[float, float]]) -> None:
    """Say what was seen and foretold, and add it to the file of FLEET_RECORD."""
    for name, (real, said) in figures.items():
        print(f"{name:16} {real:12.6g} real {said:12.6g} foretold {said / real - 1 if real else 0:+.1%}")
    if "FLEET_RECORD" in os.environ:
        file = Path(os.environ["FLEET_RECORD"])
        kept = json.loads(file.read_text()) if file.exists() else {}
        kept[policy] = {"requests": COUNT, "figures": figures}
        file.write_text(json.dumps(kept, indent=1) + "\n")
