"""The life of a process that is a server: its signals, and its hand-over to a successor."""

from __future__ import annotations

import asyncio
import math
import os
import signal

from freight.model import Level
from freight.observe.log import Log
from freight.runtime.running_server import RunningServer
from freight.runtime.service import Service
from freight.runtime.stop_report import LINGERING_REPORT_SECONDS, lingering, stopped, stopping
from freight.runtime.worker_role import WorkerRole


class Lifecycle:
    """Decides when a process stops serving, and how.

    A server that runs alone has a :class:`Service`. The service of several workers is the supervisor's.
    """

    def __init__(self, server: RunningServer, log: Log, worker: WorkerRole | None) -> None:
        self._server = server
        self._core = server.core
        self._parts = parts = server.parts
        self._live = server.live
        self._log = log
        self._worker = worker
        self._stop_signals = 0
        self._lingering_timer: asyncio.TimerHandle | None = None
        self._service_timer: asyncio.TimerHandle | None = None
        self._service: Service | None = None
        if worker is None:
            sockets = parts.sockets.named()
            self._service = Service(sockets, parts.predecessor, self._status_line, log.notice, server.request_stop)
        self.exit_status = 0

    @property
    def handed_over(self) -> bool:
        """Whether another process accepts connections in place of this one."""
        managed = self._worker or self._service
        return managed is not None and managed.handed_over

    def handle_signals(self) -> None:
        """Handle signals from now on.

        A worker obeys only its supervisor: Ctrl-C and the signals of a service manager reach every process.
        """
        loop = self._core.loop
        if self._worker is None:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self._on_stop_signal, number)
        else:
            loop.add_signal_handler(signal.SIGTERM, self._server.request_stop)
            loop.add_signal_handler(signal.SIGUSR1, self._abort, signal.SIGTERM)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)

    def start_service(self) -> None:
        """Report that the server serves: to the operator, the service manager, and the predecessor."""
        if self._service is None:
            return
        self._core.loop.add_signal_handler(signal.SIGUSR2, self._hand_over, self._service)
        self._parts.announce(self._core.budget, self._log.notice)
        self._service.started()
        self._run_service(self._service)

    async def drain(self) -> None:
        """Finish what runs, and end the service."""
        await self._server.drain(handed_over=self.handed_over)
        if self._service_timer is not None:
            self._service_timer.cancel()
        if self._service is not None:
            self._service.close()

    def log_stopped(self) -> None:
        """Log the totals since the start."""
        if self._lingering_timer is not None:
            self._lingering_timer.cancel()
        counts = self._core.counters.statistics()
        own = f"process {os.getpid()}, which has handed over: " if self.handed_over else ""
        self._log.notice(Level.INFO, own + stopped(counts.completed, counts.aborted))

    def _hand_over(self, service: Service) -> None:
        service.hand_over()
        self._run_service(service)

    def _run_service(self, service: Service) -> None:
        """Run what is due of the service, now and whenever the next is due."""
        if self._service_timer is not None:
            self._service_timer.cancel()
        seconds = service.run_due()
        if seconds < math.inf:
            self._service_timer = self._core.loop.call_later(seconds, self._run_service, service)

    def _status_line(self) -> str:
        gate = self._core.gate.statistics()
        draining = "; draining" if self._server.is_draining else ""
        return f"running {gate.running} of {gate.slots}, waiting {gate.waiting}{draining}"

    def _on_stop_signal(self, number: int) -> None:
        self._stop_signals += 1
        if not self._server.is_draining:
            if self._service is not None:
                self._service.stopping()
            self._log_stopping(number)
            self._server.request_stop()
        elif self._stop_signals > 1:  # after a hand-over the drain runs already: a first signal changes nothing
            self._abort(number)

    def _on_hangup(self) -> None:
        """Stop if the terminal was closed, otherwise reload. A shell and the kernel may both send it: one counts."""
        if self._worker is not None or not self._live.hangup_stops():
            self._reload()
        elif not self._server.is_draining:
            self._on_stop_signal(signal.SIGHUP)

    def _log_stopping(self, number: int) -> None:
        settings, running = self._live.settings, self._core.gate.statistics().running
        line = stopping(running, settings.shutdown_timeout_seconds, settings.shutdown_delay_seconds, number)
        if line:
            self._log.notice(Level.INFO, line)
        else:
            self._lingering_timer = self._core.loop.call_later(LINGERING_REPORT_SECONDS, self._log_lingering, number)

    def _log_lingering(self, number: int) -> None:
        if line := lingering(len(self._core.listener), self._live.settings.shutdown_timeout_seconds, number):
            self._log.notice(Level.INFO, line)

    def _abort(self, number: int) -> None:
        """Stop without waiting for anything."""
        self.exit_status = 128 + number
        self._server.abort()

    def _reload(self) -> None:
        """Reload the live settings and the certificate. In a worker, the supervisor logs the result."""
        if self._service is not None:
            self._service.reloading()
        self._log.reopen()
        notices = self._live.reload()
        self._core.set_limits(self._live.settings)
        if self._worker is None:
            for level, message in notices:
                self._log.notice(level, message)
        if self._service is not None:
            self._service.ready()
