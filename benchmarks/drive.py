"""Run clients against peers, turn by turn, and collect the samples."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from subprocess import PIPE
from typing import IO, Any

from freight.tools.loadgen.gauge import machine
from freight.tools.loadgen.network import LOOPBACK, Network, inside

from .client import Spec
from .launch import PeerFailed, Site
from .peers import Peer
from .proof import check

HERE = Path(__file__).parent
RESULTS = HERE / "results"
Sample = dict[str, Any]


@dataclass(slots=True)
class Run:
    """A scenario that runs: its rounds, its samples so far, and the excluded peers with the reasons.

    ``only`` and ``beside`` select attacks and servers of the scenario ``attack``; empty: all.
    """

    scenario: str
    rounds: int
    quick: bool
    only: frozenset[str] = frozenset()
    beside: frozenset[str] = frozenset()
    settings: dict[str, Any] = field(default_factory=dict)
    peers: dict[str, dict[str, Any]] = field(default_factory=dict)
    excluded: dict[str, str] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)

    def suitable(self, peers: Iterable[Peer], site: Site) -> list[Peer]:
        """Return the peers that are installed and send the right bytes. Exclude the others by name."""
        fit = []
        for peer in peers:
            why = peer.missing_requirement()
            try:
                if not why:
                    check(peer, site)
            except PeerFailed as unfit:
                why = str(unfit)
            if why:
                self.excluded[peer.name] = why
                log(f"{self.scenario}: without {peer.name}: {why}")
                continue
            fit.append(peer)
            self.peers[peer.name] = {
                **{"version": peer.installed_version(), "command": " ".join(peer.command)},
                **{"files": dict(peer.files), "environment": dict(peer.env)},
            }
        return fit

    def turns(
        self, order: Sequence[Peer], case: str, measure: Callable[[Peer], Sample], rounds: int | None = None
    ) -> None:
        """Measure each peer of ``order`` once per round. Every second round is reversed, so that a drift cancels out.

        ``rounds``: another number than the run's, such as one for figures that hardly vary.
        """
        rounds = self.rounds if rounds is None else rounds
        for number in range(rounds):
            for turn, peer in enumerate(order if number % 2 == 0 else order[::-1]):
                base = {"round": number, "turn": turn, "case": case, "peer": peer.name}
                try:
                    sample = measure(peer)
                except (PeerFailed, TurnFailed) as error:
                    sample = {"error": str(error)}
                self.samples.append(base | sample)
                figures = " ".join(
                    f"{key}={value:.4g}" for key, value in sample.items() if isinstance(value, (int, float))
                )
                log(f"{self.scenario} {number + 1}/{rounds} {case} {peer.name}: {figures or sample.get('error')}")

    def save(self) -> None:
        """Write ``results/<scenario>.json``; a quick or partial run goes to ``results/quick`` instead."""
        folder = RESULTS / "quick" if self.quick or self.only or self.beside else RESULTS
        folder.mkdir(parents=True, exist_ok=True)
        about = machine() | {"python": platform.python_version()}
        content = {
            **{"scenario": self.scenario, "rounds": self.rounds, "settings": self.settings, "machine": about},
            **{"peers": self.peers, "excluded": self.excluded},
        }
        head = json.dumps(content, indent=1)[:-2]
        lines = ",\n".join("  " + json.dumps(sample) for sample in self.samples)
        (folder / f"{self.scenario}.json").write_text(f'{head},\n "samples": [\n{lines}\n ]\n}}\n')


class TurnFailed(Exception):
    """A turn has no result; the text is the reason."""


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def interleave(reference: Peer, fit: Sequence[Peer], close: Container[str]) -> list[Peer]:
    """Return the peers with the reference first, last, and before and after each peer in ``close``.

    Those differ from the reference by a few per cent, so each is measured next to it. Return ``fit`` if it does not
    have the reference.
    """
    if reference not in fit:
        return list(fit)
    order = [reference]
    for other in (peer for peer in fit if peer != reference):
        order += [other, reference] if other.name in close else [other]
    return order if order[-1] == reference else [*order, reference]


class ClientProcess:
    """A process of clients, whose events arrive in order. ``output`` has what it prints beside them."""

    def __init__(self, process: subprocess.Popen[str], output: IO[str]) -> None:
        self.process, self.output = process, output

    def wait(self, event: str) -> dict[str, Any]:
        """Return the next event, which must be this one. The wait ends when the clients do, by their own time limit."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise TurnFailed(f"the clients ended before their {event}: {self.failure()}")
        report: dict[str, Any] = json.loads(line)
        if report.get("event") != event:
            raise TurnFailed(f"the clients reported {line.strip()[:80]!r} instead of {event}")
        return report

    def failure(self) -> str:
        """Return why it has ended: the last line it wrote, or its exit status."""
        status = self.process.wait()
        self.output.seek(0)
        lines = self.output.read().strip().splitlines()
        return lines[-1][-200:] if lines else f"no output, exit status {status}"

    def send_go_ahead(self) -> None:
        """Let stalled clients read the rest, or attackers stop."""
        assert self.process.stdin
        with suppress(BrokenPipeError):  # it has ended already, and the next wait() reports how
            self.process.stdin.write("\n")
            self.process.stdin.flush()


@contextmanager
def run_clients(spec: Spec, network: Network = LOOPBACK) -> Iterator[ClientProcess]:
    """Run clients at their end of the network until the block ends."""
    spec = replace(spec, address=network.server.host)
    with run_program([sys.executable, "-m", "benchmarks.load_process", spec.json()], network) as clients:
        yield clients


@contextmanager
def run_program(command: Sequence[str], network: Network = LOOPBACK) -> Iterator[ClientProcess]:
    """Run a program of clients, which prints events, until the block ends."""
    # Python's ssl has no other way to choose among the suites of TLS 1.3.
    env = {**os.environ, "OPENSSL_CONF": str(HERE / "openssl.cnf")}
    with tempfile.TemporaryFile("w+") as output:
        with inside(network.client.namespace):
            process = subprocess.Popen(
                command, env=env, stdin=PIPE, stdout=PIPE, stderr=output, text=True, cwd=HERE.parent
            )
        try:
            yield ClientProcess(process, output)
        finally:
            process.kill()
            process.communicate()


def wait_settled(value: Callable[[], float], limit: float, pause: float = 0.5) -> float:
    """Read ``value`` until three consecutive readings agree within 1%, or for ``limit`` seconds. Return the last."""
    seen: list[float] = []
    until = time.monotonic() + limit
    while time.monotonic() < until:
        seen = [*seen[-2:], value()]
        if len(seen) == 3 and max(seen) - min(seen) <= 0.01 * max(seen):
            break
        time.sleep(pause)
    return seen[-1]
