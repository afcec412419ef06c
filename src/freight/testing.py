"""A fixture of pytest that starts servers. Write ``pytest_plugins = ["freight.testing"]`` in ``conftest.py``::

def test_the_report_can_be_downloaded(freight_server, tmp_path):
    (tmp_path / "report.csv").write_text("a,b\\n")
    server = freight_server(tmp_path)
    assert urllib.request.urlopen(server.url + "report.csv").read() == b"a,b\\n"
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from freight.library.server import Server

StartServer = Callable[..., Server]
"""The type of :func:`freight_server`: it takes the arguments of :class:`freight.Server`, and returns a running one."""


@pytest.fixture
def freight_server() -> Iterator[StartServer]:
    """Return a function that starts a server in a thread, as ``freight.Server(...).start()`` does.

    The port is free, and the memory 16 MiB, unless the arguments say otherwise. After the test the servers stop at
    once: downloads that still run are aborted.
    """
    with ExitStack() as stack:

        def start(*arguments: Any, **settings: Any) -> Server:
            defaults: dict[str, Any] = {"port": 0, "memory": "16MiB", "shutdown_timeout": 0}
            return stack.enter_context(Server(*arguments, **(defaults | settings)).start())

        yield start
