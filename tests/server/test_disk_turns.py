"""A client that has large directories listed does not make another client's file wait (over real sockets)."""

from __future__ import annotations

import os
import select
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.servers import Client, Serve

ENTRIES = 30_000
LISTINGS = 16
COLD_BYTES = 8 << 20


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with many entries, and a file beside it."""
    root = tmp_path_factory.mktemp("tree")
    many = root / "many"
    many.mkdir()
    for number in range(ENTRIES):
        os.close(os.open(many / f"entry-{number:06}", os.O_CREAT | os.O_WRONLY))
    (root / "cold.bin").write_bytes(os.urandom(COLD_BYTES))
    return root


def evict(path: Path) -> None:
    """Take a file out of the page cache."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def received(client: Client) -> bytes:
    """Return what has arrived for a client."""
    data = b""
    while select.select((client.socket,), (), (), 0)[0] and (piece := client.socket.recv(1 << 20)):
        data += piece
    return data


def test_a_cold_file_does_not_wait_for_listings_of_another_client(serve: Serve, clients: ExitStack, tree: Path) -> None:
    server = serve(tree, "--memory", "64MiB")
    listings = [clients.enter_context(server.connect()) for _ in range(LISTINGS)]
    for listing in listings:
        listing.get("/many/?sort=date", "Accept: text/html", "Connection: close")
    evict(tree / "cold.bin")
    answer = server.get("/cold.bin")
    assert (answer.status, len(answer.content)) == (200, COLD_BYTES)
    begun = [listing for listing in listings if b"entry-" in received(listing)]
    assert len(begun) <= LISTINGS // 2, "the file waited for a pass of each listing"
