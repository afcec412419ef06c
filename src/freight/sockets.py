"""Where a server listens: the sockets that were passed to it, and for the rest those that its settings ask for."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from freight.errors import Unservable
from freight.flow.pump import MARK_MIN
from freight.observe.admin import listen_admin
from freight.server.inherited import ADMIN, AGENT, FILES, REDIRECT
from freight.server.listener import listen, prepare
from freight.settings import Settings


@dataclass(frozen=True, slots=True)
class Sockets:
    """The listening sockets, non-blocking. None: there is no such listener."""

    files: socket.socket
    admin: socket.socket | None
    redirect: socket.socket | None
    agent: socket.socket | None

    def named(self) -> dict[str, socket.socket]:
        """Those that are there, by the names that a successor knows them by."""
        every = {FILES: self.files, ADMIN: self.admin, REDIRECT: self.redirect, AGENT: self.agent}
        return {name: each for name, each in every.items() if each is not None}


def open_sockets(settings: Settings, passed: Mapping[str, socket.socket], warn: Callable[[str], None]) -> Sockets:
    """Listen. What was ``passed`` is used wherever the settings would have it. Raises Unservable."""
    for each in passed.values():
        prepare(each, MARK_MIN)
    if REDIRECT in passed and settings.tls_cert is None and not settings.tls_self_signed:
        raise Unservable("a socket was passed for redirect, but there is no HTTPS to redirect to; give --tls-cert too")
    files = passed.get(FILES) or _open(settings.host, settings.port, "host", "port")
    admin, redirect, agent = (passed.get(name) for name in (ADMIN, REDIRECT, AGENT))
    if admin is None:
        admin = listen_admin(settings.admin, files.getsockname()[1], _open_admin, warn)
    if redirect is None and settings.redirect_port is not None:
        redirect = _open(settings.host, settings.redirect_port, "host", "redirect-port")
    if agent is None and settings.agent is not None:
        agent = _open(settings.agent.host, settings.agent.port, "agent", "agent")
    return Sockets(files, admin, redirect, agent)


def _open(host: str, port: int, host_setting: str, port_setting: str) -> socket.socket:
    return listen(host, port, MARK_MIN, host_setting, port_setting)


def _open_admin(host: str, port: int) -> socket.socket:
    return _open(host, port, "admin", "admin")
