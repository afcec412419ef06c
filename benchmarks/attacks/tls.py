"""Attacks on the handshake of TLS: to be sent to a port that speaks it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from .drive import Say, Script


def client_hello() -> bytes:
    """The first flight of a handshake."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    sent = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="attacked").do_handshake()
    except ssl.SSLWantReadError:
        pass
    return sent.read()


def half_handshakes(path: bytes) -> Iterator[Say]:
    """Handshakes whose answer, the dear part of it, is thrown away: on connection after connection."""
    hello = client_hello()
    yield Say(hello, pause_seconds=0.01)
    yield Say(b"", leaves=True)


def silent_handshakes(path: bytes) -> Iterator[Say]:
    """Handshakes that are begun, and stand still."""
    yield Say(client_hello()[:100])


SCRIPTS: tuple[Script, ...] = (half_handshakes, silent_handshakes)
"""Every one of them."""
