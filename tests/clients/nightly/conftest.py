"""Fixtures of the nightly tests: servers that must not have refused a client's request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from support.servers import Serve, ServerProcess

REFUSED = re.compile(r'" (?:400|405|408|413|414|431|5\d\d) ')
"""In a log line: the status of a request that no client of these tests may send, or that freight may not fail."""


@pytest.fixture
def serve(serve: Serve) -> Iterator[Serve]:
    """Return the function ``serve``. After the test, check that its servers have refused no request."""
    servers: list[ServerProcess] = []

    def start(*arguments: Any, **options: Any) -> ServerProcess:
        servers.append(serve(*arguments, **options))
        return servers[-1]

    yield start
    for server in servers:
        assert [line for line in server.log if REFUSED.search(line)] == []
