"""Watches the file systems that are served: which do not answer, for the log, /status and /readyz."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from freight.model import FileSystemStatus, Level
from freight.protocols import LogNotice
from freight.sources.disk_pool import DiskPool
from freight.units import brief_seconds

if TYPE_CHECKING:
    from freight.runtime.worker_role import WorkerRole
    from freight.sources.served import ServedSource


class FileSystemWatch:
    """Applies the time limit of calls in ``pool``, and logs when a file system stops answering, and answers again."""

    def __init__(self, pool: DiskPool, source: ServedSource, log_notice: LogNotice) -> None:
        self._pool = pool
        self._source = source
        self._log_notice = log_notice
        self._known: dict[int, FileSystemStatus] = {}  # those that do not answer, by device

    @property
    def root_answers(self) -> bool:
        """Whether the file system of a served path answers: of one of them, if there are several."""
        return self._pool.a_home_answers

    @property
    def timeouts(self) -> int:
        """How many calls have waited too long, since the start."""
        return self._pool.timeouts

    def sweep(self, worker: WorkerRole | None = None) -> None:
        """Fail what has waited too long, and log changes. Call it about once a second.

        Of several workers, the first that notices logs that a file system does not answer, and the last one that it
        answers again.
        """
        self._pool.expire()
        before, self._known = self._known, self._unresponsive()
        for device, each in self._known.items():
            if device not in before and (worker is None or worker.report(f"hangs: {device}")):
                self._log_notice(
                    Level.WARNING,
                    f"the file system at {each.path} has not answered for {brief_seconds(each.seconds)}; requests for "
                    "its files get 503 until it answers",
                )
        for device, each in before.items():
            if device not in self._known and (worker is None or worker.withdraw(f"hangs: {device}")):
                self._log_notice(Level.INFO, f"the file system at {each.path} answers again")

    def statuses(self) -> tuple[FileSystemStatus, ...]:
        """Return the file systems that do not answer."""
        return tuple(self._unresponsive().values())

    def _unresponsive(self) -> dict[int, FileSystemStatus]:
        now = time.monotonic()
        found = {}
        for each in self._pool.unresponsive():
            path = self._source.path_of(each.device)
            is_root = self._pool.is_home(each.device)
            found[each.device] = FileSystemStatus(path, max(0.0, now - each.since), each.hung_calls, is_root)
        return found
