"""The periodic sweep: one check of everything that waits, instead of a timer for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from freight import unsupported
from freight.runtime.build import ServerCore
from freight.runtime.side_listeners import SideListeners
from freight.runtime.worker_role import WorkerRole

_SWEEP_SECONDS = 1.0
_MEASUREMENTS = 4  # of the process's memory in one sweep interval: many clients may arrive within it


async def sweep_forever(
    core: ServerCore, side: SideListeners, worker: WorkerRole | None, warn: Callable[[str], None]
) -> None:
    """Sweep about once a second, until cancelled. ``warn`` logs a line for the operator."""
    while True:
        await _measure_until_sweep(core)
        core.file_systems.sweep(worker)
        core.expire()
        for message in unsupported.take():
            if worker is None or worker.report(message):
                warn(message)
        await side.sweep()
        # A connection that waits to be accepted, for memory or a descriptor, counts as a waiting request.
        blocked = core.gate.accept_blocked or core.listener.out_of_descriptors
        core.gate.note_progress(await core.transfers.sweep(core.gate.waiting or int(blocked)))
        await core.growth.trim_if_due()
        if worker is not None:
            worker.publish()
            worker.all_exhausted(core.listener.out_of_descriptors)
            worker.set_root_answers(core.file_systems.root_answers)
        core.gate.admit_waiting()  # a loan may have drained without a call that would notice


async def _measure_until_sweep(core: ServerCore) -> None:
    """Wait for the next sweep, and meanwhile tell the budget how much the process grows.

    Wait half as long while connections wait to be accepted: stalled clients must then be found sooner.
    """
    for number in range(_MEASUREMENTS):
        if core.gate.accept_blocked and number >= _MEASUREMENTS // 2:
            return
        limits = core.transfers.limits
        shortest = min(limits.idle_seconds, limits.keep_alive_seconds)
        await asyncio.sleep(min(_SWEEP_SECONDS, shortest / 4) / _MEASUREMENTS)
        core.growth.measure()
