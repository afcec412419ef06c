"""Who answers on the port of plain HTTP where files are served by HTTPS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from freight.core.redirect import redirect
from freight.model import Plan, Request
from freight.ports import Sink


@dataclass(frozen=True, slots=True)
class Redirect:
    """Sends all who ask on to the HTTPS at ``port`` (:class:`freight.ports.Responder`). ``send`` sends a plan."""

    send: Callable[[Plan, Sink], Awaitable[None]]
    port: int

    async def respond(self, request: Request, sink: Sink) -> None:
        """Answer one request."""
        plan = redirect(request, self.port)
        await self.send(replace(plan, parts=(), content=False) if request.method == "HEAD" else plan, sink)
