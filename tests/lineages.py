"""A server and those that came after it by hand-over: who they are, and that none is left behind."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from crowds import Crowd, Group
from freight.sample import verify
from gauges import KIB
from netns import HERE
from processes import runs
from serving import PATIENCE_SECONDS, Served, until


class Lineage:
    """The processes of a server, the first one and its successors, as its log names them."""

    def __init__(self, first: Served) -> None:
        self.first = first
        self.pids = [first.pid]

    def hand_over(self) -> int:
        """Have the last one hand over, and wait until it has; the process that serves now."""
        os.kill(self.pids[-1], signal.SIGUSR2)
        line = self.first.await_log("handed over to process", count=len(self.pids))
        self.pids.append(int(re.findall(r"process (\d+)", line)[0]))
        return self.pids[-1]

    def end(self) -> int:
        """Ask the last one to stop, and wait until all have ended; the first one's exit status."""
        os.kill(self.pids[-1], signal.SIGTERM)
        for pid in self.pids[1:]:
            until(lambda pid=pid: not runs(pid), f"process {pid} has ended")  # type: ignore[misc]
        return self.first.wait()

    def close(self) -> None:
        """End whatever still runs, which may be what no log line has named."""
        with suppress(ProcessLookupError):
            os.killpg(self.first.pid, signal.SIGKILL)


class Loop:
    """Asks again and again until it is told to stop. ``ask`` is told which time it is, and says if it was right."""

    def __init__(self, ask: Callable[[int], bool]) -> None:
        self._ask = ask
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.answered = 0
        self.failed: list[str] = []
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if self._ask(self.answered):
                    self.answered += 1
                else:
                    self.failed.append("a wrong answer")
            except Exception as error:
                self.failed.append(repr(error))

    def stop(self) -> None:
        """Stop, and wait for the last answer."""
        self._stop.set()
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "the last answer does not come"


def asks(server: Served) -> Callable[[int], bool]:
    """Asks for a few bytes of ``site.csv``, a sample, on a new connection; whether they were right."""

    def ask(number: int) -> bool:
        start = number % 1000 * 64
        answer = server.get("/site.csv", f"Range: bytes={start}-{start + 999}")
        return answer.status == 206 and verify(answer.content, start)

    return ask


def live_through(upgrades: Iterable[Callable[[], object]], server: Served, folder: Path, downloads: int) -> None:
    """Upgrades, one after another, while so many downloads of ``site.csv`` run, ten more begin and end, and two ask on
    new connections, one of them for /readyz: nobody is refused, nothing is cut, and every byte is right.

    ``server`` serves ``folder``, and has an admin listener.
    """
    done = 0
    with Crowd(HERE, server.host, server.port, folder) as crowd:
        one = {"targets": ("/site.csv",), "receive": 64 * KIB}
        crowd.join(Group(name="long", count=downloads, span=8 << 20, pace=100 * KIB, **one))
        crowd.wait_count("long", "running", downloads)
        crowd.join(Group(name="short", count=10, span=2 << 20, stall=KIB, hold=0.5, again=True, **one))
        loop, probe = Loop(asks(server)), Loop(lambda _: server.ask_admin("/readyz").status == 200)
        try:
            for done, upgrade in enumerate(upgrades, 1):
                before, whole = (loop.answered, probe.answered), crowd.counts("short")["whole"]
                upgrade()
                until(
                    lambda before=before: loop.answered > before[0] + 10 and probe.answered > before[1] + 10,  # type: ignore[misc]
                    "both go on",
                )
                crowd.wait_count("short", "whole", whole + 5)
                assert crowd.counts("long")["running"] == downloads, done
        finally:
            loop.stop()
            probe.stop()
        assert not loop.failed, loop.failed
        assert not probe.failed, probe.failed
        crowd.end("short", at="stalled")
        crowd.go("long")
        crowd.wait_count("long", "whole", downloads)
        short = crowd.counts("short")
        assert {name for name, count in short.items() if count} <= {"whole", "ended", "asking", "running", "stalled"}
        assert short["whole"] >= 5 * done > 0
