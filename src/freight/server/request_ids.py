"""The id of each request: a trusted proxy's, or a new one. Imported only with ``--request-id``."""

from __future__ import annotations

import os
from dataclasses import dataclass

from freight.http.client_address import Networks
from freight.http.request_id import is_well_formed
from freight.model import Request


@dataclass(frozen=True, slots=True)
class RequestIds:
    """Chooses the id of a request."""

    def choose(self, request: Request | None, peer: str, trusted: Networks) -> str:
        """Return the request's X-Request-Id if it is well-formed and ``peer`` is a trusted proxy, otherwise a new id.

        None: a request that could not be read.
        """
        given = None if request is None or not trusted else request.field("x-request-id")
        return given if given and is_well_formed(given) and peer in trusted else self.make()

    def make(self) -> str:
        """Return a new id: 128 random bits, as 32 hexadecimal digits."""
        return os.urandom(16).hex()
