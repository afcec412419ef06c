"""The whole flow of one exchange, and the file to read first.

A request is located, decided, admitted, opened and transferred, in this order: deciding needs no descriptor, so that
what ends early (304, 404, 412, HEAD) costs none; admission comes before opening, so that who waits holds nothing.
"""

from __future__ import annotations

from dataclasses import replace

from freight.core.decide import decide, trimmed, turn_away, waited
from freight.errors import Changed
from freight.flow.gate import Gate, Lane, lane_of
from freight.flow.transfer import Transfers
from freight.model import Absence, Missing, Plan, Refused, Request, Resource
from freight.ports import Clock, Sink, Source

_LOOKS = 3  # a file replaced between the look and the open is looked at again; one that always is, is busy


class FileServer:
    """Answers requests for what ``source`` has."""

    def __init__(self, source: Source, gate: Gate, transfers: Transfers, clock: Clock) -> None:
        self.source = source
        self.gate = gate
        self.transfers = transfers
        self.clock = clock

    async def respond(self, request: Request, sink: Sink) -> None:
        """Answer one request. Raises a TransferError, or OSError for a failing disk, when it cannot be finished."""
        resource, plan = await self._look(request)
        if isinstance(resource, Absence) or not plan.spans:  # HEAD 304 404 405 412 416: no slot, descriptor or buffer
            return await self.transfers.send(plan, sink)
        request = trimmed(request)
        async with self.gate.slot(request.client, plan.length, resource.produced, sink) as slot:  # may wait
            if isinstance(slot, Refused):
                plan = turn_away(request, slot, resource)
                if self.gate.crowded:
                    plan = replace(plan, close=True)  # others wait for the memory of its connection
                plan = waited(plan, slot.waited_seconds) if slot.waited_seconds else plan
                return await self.transfers.send(plan, sink)
            outgrown = False
            for looks in range(_LOOKS):
                if looks:
                    resource, plan = await self._look(request)
                    if isinstance(resource, Absence) or not plan.spans:
                        break
                    outgrown = slot.lane is Lane.EXPRESS and lane_of(plan.length, resource.produced) is Lane.ORDINARY
                    if outgrown:
                        break
                try:
                    reader = await self.source.open(resource, plan.media_type, request.client)
                except Changed:  # nothing has gone out: look again
                    continue
                if isinstance(reader, Absence):
                    plan = decide(request, reader, self.clock.now())
                    break
                with reader:
                    plan = waited(plan, slot.waited_seconds) if slot.waited_seconds else plan
                    transfer = self.transfers.transfer(reader, plan, sink, slot)
                    del request, resource, plan  # ten thousand may wait here, and need them no more
                    return await transfer
            else:
                plan = decide(request, Absence(Missing.BUSY), self.clock.now())  # noqa: F821 - bound wherever this is reached
        if outgrown:  # what is huge by now is not to hold a slot of the small
            return await self.respond(request, sink)  # noqa: F821 - as above
        return await self.transfers.send(plan, sink)

    async def _look(self, request: Request) -> tuple[Resource | Absence, Plan]:
        resource = await self.source.locate(request.target, request.client)  # a stat, never an open
        return resource, decide(request, resource, self.clock.now())  # pure; the only place that picks a status
