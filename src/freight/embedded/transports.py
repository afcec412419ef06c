"""The buffer of uvicorn for a client: by default 64 KiB and the piece that exceeded them, during an answer one piece.

An ASGI application has no such setting. But uvicorn's ``receive`` is a method of an object that has the transport, and
frameworks pass it on unchanged. With another server, or a middleware that replaces ``receive``, the buffer stays as it
is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def small_buffer(receive: object) -> Iterator[None]:
    """Let the server pause an answer, while the context lasts, once its transport holds any byte."""
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    set_limits = getattr(transport, "set_write_buffer_limits", None)
    if set_limits is None:
        yield
        return
    try:
        set_limits(0)
    except RuntimeError:  # uvloop's, when the client has gone
        yield
        return
    try:
        yield
    finally:
        try:
            set_limits()
        except RuntimeError:
            pass
