"""Read figures many times per second and keep the largest, because a limit must hold at every instant."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread

INTERVAL = 0.05


class PeakMonitor:
    """The largest reading of each figure so far, and the number of readings."""

    def __init__(self, read: Callable[[], Mapping[str, float]], interval: float) -> None:
        self.most: dict[str, float] = {}
        self._read, self._interval = read, interval
        self._count, self._spent, self._done = 0, 0.0, Event()

    def run(self) -> None:
        begin = time.monotonic()
        while not self._done.is_set():
            began = time.monotonic()
            for name, value in self._read().items():
                self.most[name] = max(value, self.most.get(name, value))
            self._count += 1
            self._done.wait(max(0.0, began + self._interval - time.monotonic()))
        self._spent = time.monotonic() - begin

    def end(self) -> None:
        self._done.set()

    def figures(self) -> dict[str, float]:
        """Return ``most_NAME`` of each figure, and readings per second. Call it after the end."""
        most = {f"most_{name}": value for name, value in self.most.items()}
        return {**most, "readings_per_second": self._count / self._spent}


@contextmanager
def monitor_peaks(read: Callable[[], Mapping[str, float]], interval: float = INTERVAL) -> Iterator[PeakMonitor]:
    """Read from a thread until the block ends."""
    watch = PeakMonitor(read, interval)
    thread = Thread(target=watch.run)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()
