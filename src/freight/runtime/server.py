"""A process that is a server: build it, serve until a signal says stop, and drain."""

from __future__ import annotations

from freight.memory.budget import Budget
from freight.memory.process_growth import GrowthMonitor
from freight.model import Identity
from freight.observe.log import Log
from freight.runtime.build import ServerParts, tune_gc
from freight.runtime.lifecycle import Lifecycle
from freight.runtime.running_server import RunningServer
from freight.runtime.worker_role import WorkerRole


async def serve(parts: ServerParts, budget: Budget, log: Log, worker: WorkerRole | None) -> int:
    """Serve until a signal says stop, as one of several workers or alone; return the exit status."""
    server = RunningServer(parts, budget, log, worker, GrowthMonitor)
    lifecycle = Lifecycle(server, log, worker)
    lifecycle.handle_signals()
    server.start()
    tune_gc()
    server.open_agent()
    if worker is not None:
        worker.start(server.collector(Identity()))  # the admin process knows the identity
    elif parts.sockets.admin is not None:
        server.open_admin(server.collector(parts.identity(1)), lambda: lifecycle.handed_over)
    lifecycle.start_service()
    await server.wait_for_stop()
    if worker is not None:
        worker.set_not_ready()
    await lifecycle.drain()
    server.end_sweeps()
    if worker is not None:
        worker.publish()
    else:
        lifecycle.log_stopped()
    server.close()
    return lifecycle.exit_status
