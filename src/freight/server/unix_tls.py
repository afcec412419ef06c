"""The sink of a TLS connection over a Unix socket. Loaded only for one."""

from __future__ import annotations

from freight.server.tls.sockets import TlsSink
from freight.server.unix_socket import UnixQueue


class UnixTlsSink(UnixQueue, TlsSink):
    """Encrypts as over TCP. There are no packets to cork."""

    __slots__ = ()

    def _cork(self, corked: bool) -> None:
        pass
