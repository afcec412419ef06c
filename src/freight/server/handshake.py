"""The TLS handshake of a connection: wait for bytes, take turns with other connections, charge the client."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from freight.server.connection_reader import ConnectionReader
from freight.server.context import ServerContext
from freight.wire import costs

if TYPE_CHECKING:  # loaded only where TLS is configured, with ssl
    from freight.server.tls.sockets import TlsLayer, TlsSocket

TLS_FAILED = "tls-failed"
"""How the log says that a TLS handshake failed."""


async def shake_hands(
    context: ServerContext,
    tls: TlsLayer,
    stream: TlsSocket,
    reader: ConnectionReader,
    waits: Callable[[bool], None],
    resumed: Callable[[], None],
) -> bool:
    """Shake hands on ``stream``, which ``reader`` reads. Return False if the client sent nothing, or not all in time.

    ``waits`` is called before each wait for the client's bytes, with whether the server has answered; ``resumed``
    after it. Raise ConnectionAbortedError if the handshake failed, ConnectionRefusedError if the client sent HTTP.
    """
    charges, begun, answered = reader.charges, False, False
    reader.set_timeout(context.head_seconds)
    while not reader.evicted:
        waits(tls.has_answered(stream))
        if not await reader.wait_readable():
            break
        resumed()
        if not begun and tls.has_ended_unused(stream):
            break
        begun = True
        if charges.quantum_left < 0.0:
            await context.turns.wait_turn(charges)
        done = await tls.step_handshake(stream)
        if not answered and (answered := done or tls.has_answered(stream)):
            charges.charge_setup(costs.HANDSHAKE)  # most of it is the key exchange
        if done:
            return True
    return False
