"""The express lane is for answers that are small when they are sent, and not only when they were asked for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from serving import Client, Served, until

Serve = Callable[..., Served]

SMALL = 1_000_000  # bytes: small enough for the lane, and more than all buffers on the way take


def test_a_file_that_grew_while_its_request_waited_holds_no_slot_of_the_small(
    huge: Path, serve: Serve, clients: ExitStack
) -> None:
    """The least memory has two slots of each kind; all are taken, and one of the small ones comes free."""
    growing = huge.with_name("growing.bin")
    for path in (growing, huge.with_name("small.bin")):
        path.write_bytes(bytes(SMALL))
    server = serve(huge.parent, "--memory", "192KiB", "--idle-timeout", "10m", "--max-wait", "10m", admin=True)

    def ask(target: str, express: int, waiting: int) -> Client:
        client = clients.enter_context(server.connect(receive_bytes=4096))
        client.get(target)
        until(lambda: gate() == (express, waiting), f"{express} small ones run, and {waiting} wait")
        return client

    def gate() -> tuple[int, int]:
        found = server.gate()
        return found["express_running"], found["waiting"]

    large = [ask("/huge.bin", 0, waiting) for waiting in (0, 0, 1)]
    small = [ask("/small.bin", express, 1) for express in (1, 2)]
    late = ask("/growing.bin", 2, 2)
    with growing.open("ab") as file:
        file.write(bytes(SMALL))
    small[0].socket.close()
    until(lambda: gate() == (1, 2), "it waits among the large ones")
    for client in large:
        client.socket.close()
    assert late.answer().content == bytes(2 * SMALL)
