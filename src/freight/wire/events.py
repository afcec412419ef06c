"""What the wire says to the server about the bytes it was fed."""

from __future__ import annotations

from dataclasses import dataclass

from freight.model import Request


@dataclass(frozen=True, slots=True)
class Head:
    """One request's head, complete and checked.

    ``keep_alive`` says whether the connection may carry another request after this one (RFC 9112 section 9.3).
    ``content`` is how many bytes of request content were declared: 0 none, None chunked. ``expects_continue``: the
    client waits for 100 before it sends them (RFC 9110 section 10.1.1). Freight never sends 100, and who is answered
    without it may or may not send the content, so such a head also has ``keep_alive`` False.
    """

    request: Request
    keep_alive: bool
    content: int | None
    expects_continue: bool
