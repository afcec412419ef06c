"""What the model of a fleet foretells is what three nodes behind a real balancer then do, within a fifth.

The same requests at the same times, for the same files: once in the model, once by HAProxy from Debian, three servers
and a crowd over the loopback. Links and clients are as slow as freight's own rates make them, so that time is decided
by what the model has been told, and not by this machine's cores. FLEET_REQUESTS=1500 plays a longer one.
"""

from __future__ import annotations

import os
import socket
import subprocess
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
from serving import Served, until
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
    """A control group for each node; none where they cannot be made."""
    with ExitStack() as stack:
        try:
            yield [stack.enter_context(cages.cage(CAGE_BYTES)) for _ in range(NODES)]
        except cages.Unmade as error:
            pytest.skip(str(error))


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
            engine = subprocess.Popen(
                ["/usr/sbin/haproxy", "-q", "-db", "-f", str(config)], pass_fds=[listening.fileno()]
            )
            stack.callback(engine.wait)
            stack.callback(engine.kill)
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
        return probe.connect_ex(("127.0.0.1", port)) == 0


def site(root: Path, sizes: Sequence[int]) -> Path:
    """A node's own copy of the files, none of it in the page cache."""
    root.mkdir()
    for file, size in enumerate(sizes):
        path = root / target_of(file)[1:]
        path.write_bytes(os.urandom(1 << 16) * (size // (1 << 16)) + bytes(size % (1 << 16)))
        with path.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return root


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
    tmp_path: Path,
) -> None:
    terms = ("--memory", str(MEMORY_BYTES), "--queue", str(QUEUE), "--max-wait", f"{MAX_WAIT_SECONDS:g}s")
    rates = ("--rate", str(LINK), "--per-client-rate", str(CLIENT), "--proxy-protocol")
    nodes = [
        serve(site(tmp_path / f"{number}", experiment.sizes), *terms, *rates, within=cell.within)
        for number, cell in enumerate(prisons)
    ]
    port = balance(BALANCES[policy], nodes)
    before = sum(map(read_bytes, nodes))
    seen = play(port, [(at, target_of(file)) for at, file, _ in experiment.arrivals])
    read = sum(map(read_bytes, nodes)) - before
    foretold, missed = model(experiment, policy, sum(cell.cached() for cell in prisons) // NODES)
    assert {one.status for one in seen} <= {200, 503}
    assert all(one.whole for one in seen)
    if policy == "bounded":
        check_homes(seen)
    compare(seen, read, foretold, missed)


def check_homes(seen: Sequence[Seen]) -> None:
    """Where the model says that a file lives is where HAProxy sends most requests for it, but for passing over."""
    ring = Consistent([0] * NODES, points=16 * WEIGHT)
    homes = {target_of(file): f"n{ring.pick(file)}" for file in range(FILES)}
    assert sum(one.node == homes[one.target] for one in seen) > 0.6 * len(seen)


def compare(seen: Sequence[Seen], read: int, foretold: Tally, missed: int) -> None:
    """Each figure of the real nodes beside the one that was foretold; none is further off than a fifth."""
    row = row_of(NODES, "", 6, foretold)
    served = [one for one in seen if one.status == 200]
    waits = sorted(one.wait_seconds for one in served)
    picked = Counter(one.node for one in seen)
    figures = {
        "served": (len(served), row.served),
        "refused": (len(seen) - len(served), row.full + row.late),
        "mean wait, s": (sum(waits) / len(waits), row.wait_mean_seconds),
        "p90 wait, s": (quantile(waits, 0.9), row.wait_p90_seconds),
        "bytes sent": (sum(one.length_in_time for one in served), row.sent_bytes),
        "bytes from disk": (read, missed),
    }
    figures |= {f"requests at n{node}": (picked[f"n{node}"], count) for node, count in enumerate(foretold.picked)}
    for name, (real, said) in figures.items():
        print(f"{name:16} {real:12.6g} real {said:12.6g} foretold {said / real - 1 if real else 0:+.1%}")
    for name, (real, said) in figures.items():
        assert said == pytest.approx(real, rel=TOLERANCE), name
