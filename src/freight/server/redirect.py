"""Responses on the port of plain HTTP, where files are served by HTTPS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from freight.http.error_response import for_method
from freight.http.redirect import redirect
from freight.model import Plan, Request
from freight.protocols import Remember, Sink


@dataclass(frozen=True, slots=True)
class RedirectResponder:
    """Redirects every request to HTTPS at ``port`` (:class:`freight.protocols.Responder`). ``send`` sends a plan."""

    send: Callable[[Plan, Sink], Awaitable[None]]
    port: int

    async def respond(self, request: Request, sink: Sink, remember: Remember | None = None) -> bool:
        plan = redirect(request, self.port)
        await self.send(for_method(request.method, plan), sink)
        return False
