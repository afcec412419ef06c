"""A server whose output nobody reads serves, and so does its successor."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from support import processes
from support.ports import free_port
from support.servers import Client, wait_until


def is_served(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionError:
        return False
    with Client("127.0.0.1", port) as client:
        client.get("/", "Range: bytes=0-9")
        return client.read_response().content == bytes(10)


@contextmanager
def started(huge: Path, port: int, redirections: str, **pipes: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server with these redirections of a shell; ``pipes`` are Popen's."""
    words = shlex.join([sys.executable, "-m", "freight", "serve", str(huge), "--port", str(port), "--admin", "none"])
    process = processes.start_process(
        ["sh", "-c", f"exec {words} {redirections}"],
        env=processes.environment(),
        **({"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | pipes),
    )
    try:
        wait_until(lambda: process.poll() is not None or is_served(port), "it serves, or has ended")
        assert process.poll() is None
        yield process
    finally:
        processes.kill_process_group(process)


def hands_over(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until its successor serves and it has ended. Ask repeatedly: a successor without output does not report.

    A worker may serve while the server is still starting and ignores the signal, as it does while it hands over.
    """

    def handed_over() -> bool:
        if process.poll() is None:
            process.send_signal(signal.SIGUSR2)
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)
        return process.poll() == 0

    wait_until(handed_over, "it has handed over")
    assert is_served(port)


@pytest.mark.parametrize(
    "redirections",
    [">/dev/full", "2>/dev/full", ">/dev/full 2>/dev/full", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"],
)
def test_a_server_without_usable_output_serves(huge: Path, redirections: str) -> None:
    port = free_port()
    with started(huge, port, redirections) as process:
        hands_over(process, port)


@pytest.mark.parametrize("gone", ["stdout", "stderr", "stdout stderr"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_successor_starts_whose_output_has_lost_its_reader(huge: Path, gone: str, workers: str) -> None:
    port = free_port()
    reader, writer = os.pipe()
    try:
        with started(huge, port, f"--workers {workers}", **dict.fromkeys(gone.split(), writer)) as process:
            os.close(reader)
            os.close(writer)
            reader = writer = -1
            hands_over(process, port)
    finally:
        for fd in (reader, writer):
            if fd >= 0:
                os.close(fd)


def test_that_the_start_lines_could_not_be_printed_is_logged(huge: Path, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    with started(huge, port, f">/dev/full 2>{log}"):
        words = "warning the start lines could not be printed on standard output (No space left"
        wait_until(lambda: words in log.read_text(), "it is logged")


def test_a_reader_that_stalls_does_not_keep_a_server_from_serving(huge: Path) -> None:
    """The pipe is full already."""
    port = free_port()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with closing(os.fdopen(reader, "rb")), closing(os.fdopen(writer, "wb", buffering=0)):
        try:
            while os.write(writer, bytes(1 << 16)):
                pass
        except BlockingIOError:
            os.set_blocking(writer, True)
        with started(huge, port, "", stdout=writer) as process:
            hands_over(process, port)
