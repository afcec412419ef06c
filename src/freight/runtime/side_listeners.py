"""The listeners beside the one for files that report on a server: the admin listener and HAProxy's agent-check."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from freight.runtime.admin_server import AdminServer

if TYPE_CHECKING:
    from freight.observe.haproxy_agent import AgentReport, HaproxyAgent


class SideListeners:
    """Owns the admin listener and the agent, where they exist."""

    def __init__(self) -> None:
        self._admin: AdminServer | None = None
        self._agent: HaproxyAgent | None = None

    def open_admin(self, admin: AdminServer) -> None:
        """Take over the admin listener of a server that runs alone."""
        self._admin = admin

    def open_agent(self, listening: socket.socket, report: Callable[[], AgentReport]) -> None:
        """Report to load balancers how much memory is free."""
        from freight.observe.haproxy_agent import HaproxyAgent

        self._agent = HaproxyAgent(listening, report)

    async def sweep(self) -> None:
        """Check once everything that waits."""
        if self._admin is not None:
            await self._admin.sweep()

    def abort(self) -> None:
        """End all answers now."""
        if self._admin is not None:
            self._admin.abort()

    async def close(self, handed_over: bool) -> None:
        """Close them. A second call does nothing."""
        if self._agent is not None:
            self._agent.close()
            self._agent = None
        if self._admin is not None:
            await self._admin.drain(handed_over)
            self._admin = None
