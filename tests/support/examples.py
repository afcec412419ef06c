"""The programs in examples/, run as their users run them."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from support.processes import environment, running
from support.servers import TIMEOUT_SECONDS, Client

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@dataclass(frozen=True)
class RunningExample:
    """A program that serves. ``urls``: what it has printed."""

    pid: int
    urls: list[str]

    def connect(self) -> Client:
        """Connect a new client, whose kernel accepts little while it does not read."""
        port = urlsplit(self.urls[0]).port
        assert port is not None
        return Client("127.0.0.1", port, receive_bytes=64 * 1024)


@contextmanager
def running_example(name: str, *arguments: str, urls: int = 1) -> Iterator[RunningExample]:
    """Run an example that prints ``urls`` URLs when it serves, until the end of the context."""
    words = [sys.executable, str(EXAMPLES / name), *arguments]
    with running(words, env=environment(PYTHONUNBUFFERED="1"), stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        printed, deadline = b"", time.monotonic() + TIMEOUT_SECONDS
        while printed.count(b"\n") < urls:
            ready, _, _ = select.select([process.stdout], [], [], max(deadline - time.monotonic(), 0))
            data = os.read(process.stdout.fileno(), 1 << 12) if ready else b""
            assert data, f"{name} did not print {urls} URLs: {printed!r}"
            printed += data
        yield RunningExample(process.pid, printed.decode().split())
