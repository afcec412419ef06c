"""A server and its successors by hand-over, and checks that downloads survive the hand-overs."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from freight.tools.loadgen.network import HERE
from freight.tools.sample import verify
from support.load_generator import Again, CheckedLoad, Group
from support.memory_gauges import KIB
from support.processes import is_running
from support.servers import TIMEOUT_SECONDS, ServerProcess, wait_until


class Generations:
    """The processes of a server: the first one, and its successors as the log names them."""

    def __init__(self, first: ServerProcess) -> None:
        self.first = first
        self.pids = [first.pid]

    def hand_over(self) -> int:
        """Make the last process hand over, wait until it has, and return its successor."""
        os.kill(self.pids[-1], signal.SIGUSR2)
        line = self.first.wait_for_log("handed over to process", count=len(self.pids))
        self.pids.append(int(re.findall(r"process (\d+)", line)[0]))
        return self.pids[-1]

    def end(self) -> int:
        """Stop the last process, wait until all have ended, and return the first one's exit status."""
        os.kill(self.pids[-1], signal.SIGTERM)
        for pid in self.pids[1:]:
            wait_until(lambda pid=pid: not is_running(pid), f"process {pid} has ended")  # type: ignore[misc]
        return self.first.wait()

    def close(self) -> None:
        """Kill all of them, those included that no log line names."""
        with suppress(ProcessLookupError):
            os.killpg(self.first.pid, signal.SIGKILL)


class RequestLoop:
    """Calls ``ask`` in a thread until :meth:`stop`.

    ``ask`` gets the number of right responses so far, and returns whether the response is right.
    """

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
                    self.failed.append("a wrong response")
            except Exception as error:
                self.failed.append(repr(error))

    def stop(self) -> None:
        """Stop, and wait for the last response."""
        self._stop.set()
        self._thread.join(TIMEOUT_SECONDS)
        assert not self._thread.is_alive(), "the last response does not come"


def range_requests(server: ServerProcess) -> Callable[[int], bool]:
    """Return a function that requests a range of ``site.csv``, a sample, on a new connection, and checks it."""

    def ask(number: int) -> bool:
        start = number % 1000 * 64
        response = server.get("/site.csv", f"Range: bytes={start}-{start + 999}")
        return response.status == 206 and verify(response.content, start)

    return ask


def check_uninterrupted(
    upgrades: Iterable[Callable[[], object]], server: ServerProcess, folder: Path, downloads: int
) -> None:
    """Run upgrades one after another under load. Check that nothing is refused or cut, and that every byte is right.

    The load: ``downloads`` of ``site.csv``, ten short ones that start again and again, and two loops of requests on new
    connections, one of them for /readyz. ``server`` serves ``folder``, and has an admin listener.
    """
    done = 0
    with CheckedLoad(HERE, server.host, server.port, folder) as crowd:
        one = {"targets": ("/site.csv",), "receive": 64 * KIB}
        # At this pace they take longer than the test may, so that all run until they are told to go on.
        crowd.join(Group(name="long", count=downloads, span=8 << 20, pace=32 * KIB, **one))
        crowd.wait_count("long", "running", downloads)
        crowd.join(Group(name="short", count=10, span=2 << 20, stall=KIB, hold=0.5, again=Again.ALWAYS, **one))
        loop, probe = (
            RequestLoop(range_requests(server)),
            RequestLoop(lambda _: server.ask_admin("/readyz").status == 200),
        )
        try:
            for done, upgrade in enumerate(upgrades, 1):
                before, whole = (loop.answered, probe.answered), crowd.counts("short")["whole"]
                upgrade()
                wait_until(
                    lambda before=before: loop.answered > before[0] + 10 and probe.answered > before[1] + 10,  # type: ignore[misc]
                    "both loops continue",
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
