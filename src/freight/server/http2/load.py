"""Load HTTP/2 when the first client speaks it: h2 and HPACK take memory that a server of HTTP/1 does without."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freight.memory.heap import private_bytes
from freight.server.context import ServerContext

if TYPE_CHECKING:
    from freight.server.http2.connection import Http2Connection

# Safe to share: it only goes from False to True, and two threads that both import do so under Python's import lock.
_loaded = False


async def load_http2(context: ServerContext) -> type[Http2Connection]:
    """Return the class that serves a connection of HTTP/2.

    A thread imports it, because the import takes longer than a step of the loop may.
    """
    if not _loaded:
        before = private_bytes()
        _, first = await context.transfers.pool.run(_import)
        if first:
            context.exclude_growth(private_bytes() - before)
    return _import()[0]


def _import() -> tuple[type[Http2Connection], bool]:
    """Import the class. Return it, and whether this was the first import."""
    global _loaded
    from freight.server.http2.connection import Http2Connection

    first, _loaded = not _loaded, True
    return Http2Connection, first
