"""Serves the pages of browser tests: they need an origin of their own, and HTML that is not downloaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any


@contextmanager
def page_server(folders: Mapping[str, Path]) -> Iterator[int]:
    """Serve each folder below its name. Yield the port; the pages of 127.0.0.1 and localhost differ in origin."""

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def translate_path(self, path: str) -> str:
            name, _, rest = path.partition("?")[0].lstrip("/").partition("/")
            return str(folders[name] / rest) if name in folders and ".." not in rest else "/nonexistent"

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server.server_port
        server.shutdown()
