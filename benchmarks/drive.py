"""Runs crowds against peers, turn by turn, and gathers the samples."""

from __future__ import annotations

import json
import os
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

from .client import Spec
from .gauge import machine
from .launch import Site, Unfit
from .network import LOOPBACK, Network, inside
from .peers import Peer
from .proof import check

HERE = Path(__file__).parent
RESULTS = HERE / "results"
Sample = dict[str, Any]


@dataclass(slots=True)
class Run:
    """One scenario being run: its rounds, what it leaves out and why, and the samples so far.

    ``only``: the attacks that are wanted, and ``beside`` the servers, of the scenario that has these; empty: all.
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

    def fit(self, peers: Iterable[Peer], site: Site) -> list[Peer]:
        """Those that are installed and have proved equal work; the rest are excluded by name."""
        fit = []
        for peer in peers:
            why = peer.missing()
            try:
                if not why:
                    check(peer, site)
            except Unfit as unfit:
                why = str(unfit)
            if why:
                self.excluded[peer.name] = why
                say(f"{self.scenario}: without {peer.name}: {why}")
                continue
            fit.append(peer)
            self.peers[peer.name] = {
                **{"version": peer.release(), "command": " ".join(peer.command)},
                **{"files": dict(peer.files), "environment": dict(peer.env)},
            }
        return fit

    def turns(
        self, order: Sequence[Peer], case: str, measure: Callable[[Peer], Sample], rounds: int | None = None
    ) -> None:
        """Measure each peer of ``order`` once a round; every second round goes backwards, so that a drift cancels.

        ``rounds`` are given where they differ from the run's: what hardly varies needs no more than one.
        """
        rounds = self.rounds if rounds is None else rounds
        for number in range(rounds):
            for turn, peer in enumerate(order if number % 2 == 0 else order[::-1]):
                base = {"round": number, "turn": turn, "case": case, "peer": peer.name}
                try:
                    sample = measure(peer)
                except (Unfit, EventLost) as error:
                    sample = {"error": str(error)}
                self.samples.append(base | sample)
                figures = " ".join(
                    f"{key}={value:.4g}" for key, value in sample.items() if isinstance(value, (int, float))
                )
                say(f"{self.scenario} {number + 1}/{rounds} {case} {peer.name}: {figures or sample.get('error')}")

    def save(self) -> None:
        """Write ``results/<scenario>.json``; a rehearsal, or a part, goes to ``results/quick`` instead."""
        folder = RESULTS / "quick" if self.quick or self.only or self.beside else RESULTS
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            **{"scenario": self.scenario, "rounds": self.rounds, "settings": self.settings, "machine": machine()},
            **{"peers": self.peers, "excluded": self.excluded},
        }
        head = json.dumps(content, indent=1)[:-2]
        lines = ",\n".join("  " + json.dumps(sample) for sample in self.samples)
        (folder / f"{self.scenario}.json").write_text(f'{head},\n "samples": [\n{lines}\n ]\n}}\n')


class EventLost(Exception):
    """A crowd ended without telling what was awaited."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def interleave(reference: Peer, fit: Sequence[Peer], close: Container[str]) -> list[Peer]:
    """The reference first and last, and before and after every peer named in ``close``; without it, all as they are.

    Those are compared by a few per cent, so each has the reference as its neighbour in time; the rest differ by more.
    """
    if reference not in fit:
        return list(fit)
    order = [reference]
    for other in (peer for peer in fit if peer != reference):
        order += [other, reference] if other.name in close else [other]
    return order if order[-1] == reference else [*order, reference]


class Crowd:
    """A crowd process whose events are awaited in order. ``output`` has what it says beside them."""

    def __init__(self, process: subprocess.Popen[str], output: IO[str]) -> None:
        self.process, self.output = process, output

    def wait(self, event: str) -> dict[str, Any]:
        """The next event, which must be this one; the crowd's own end of time bounds the wait."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise EventLost(f"a crowd broke off before its {event}: {self.why()}")
        told: dict[str, Any] = json.loads(line)
        if told.get("event") != event:
            raise EventLost(f"a crowd told {line.strip()[:80]!r} instead of {event}")
        return told

    def why(self) -> str:
        """Why it has broken off: the last line it wrote, or its exit status."""
        status = self.process.wait()
        self.output.seek(0)
        lines = self.output.read().strip().splitlines()
        return lines[-1][-200:] if lines else f"it said nothing, and ended with {status}"

    def give_word(self) -> None:
        """Say what is waited for: those that hold take the rest, those that attack stop."""
        assert self.process.stdin
        with suppress(BrokenPipeError):  # it has ended already: the event that is awaited next says how
            self.process.stdin.write("\n")
            self.process.stdin.flush()


@contextmanager
def crowd(spec: Spec, network: Network = LOOPBACK) -> Iterator[Crowd]:
    """Start a crowd, at its end of the network; end it when the block ends."""
    command = [sys.executable, "-m", "benchmarks.crowd", replace(spec, address=network.address).json()]
    # Python's ssl has no other way to choose among the suites of TLS 1.3.
    env = {**os.environ, "OPENSSL_CONF": str(HERE / "openssl.cnf")}
    with tempfile.TemporaryFile("w+") as output:
        with inside(network.clients):
            process = subprocess.Popen(
                command, env=env, stdin=PIPE, stdout=PIPE, stderr=output, text=True, cwd=HERE.parent
            )
        try:
            yield Crowd(process, output)
        finally:
            process.kill()
            process.communicate()


def wait_still(value: Callable[[], float], limit: float, pause: float = 0.5) -> float:
    """Read ``value`` until three readings in a row agree within 1%, at most ``limit`` seconds; the last reading."""
    seen: list[float] = []
    until = time.monotonic() + limit
    while time.monotonic() < until:
        seen = [*seen[-2:], value()]
        if len(seen) == 3 and max(seen) - min(seen) <= 0.01 * max(seen):
            break
        time.sleep(pause)
    return seen[-1]
