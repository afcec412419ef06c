"""The express lane is for answers that are small when they are sent, and not only when they were asked for."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from support.servers import Client, Serve, wait_until

SMALL = 1_000_000  # bytes: small enough for the lane, and more than all buffers on the path take


def test_a_file_that_was_replaced_by_a_larger_one_while_its_request_waited_takes_no_express_slot(
    huge: Path, serve: Serve, clients: ExitStack
) -> None:
    """The smallest budget has two slots of each lane. All are taken, and an express slot becomes free."""
    replaced = huge.with_name("replaced.bin")
    for path in (replaced, huge.with_name("small.bin")):
        path.write_bytes(bytes(SMALL))
    server = serve(huge.parent, "--memory", "192KiB", "--idle-timeout", "10m", "--queue-timeout", "10m", admin=True)

    def ask(target: str, express: int, waiting: int) -> Client:
        client = clients.enter_context(server.connect(receive_bytes=4096))
        client.get(target)
        wait_until(lambda: gate() == (express, waiting), f"{express} small ones run, and {waiting} wait")
        return client

    def gate() -> tuple[int, int]:
        found = server.gate()
        return found["express_running"], found["waiting"]

    large = [ask("/huge.bin", 0, waiting) for waiting in (0, 0, 1)]
    small = [ask("/small.bin", express, 1) for express in (1, 2)]
    late = ask("/replaced.bin", 2, 2)
    larger = replaced.with_name("larger.bin")
    larger.write_bytes(bytes(2 * SMALL))
    larger.replace(replaced)
    small[0].socket.close()
    wait_until(lambda: gate() == (1, 2), "it waits among the large ones")
    for client in large:
        client.socket.close()
    assert late.read_response().content == bytes(2 * SMALL)
