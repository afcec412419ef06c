"""The express lane is for answers that are small when they are sent, and not only when they were asked for."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from support.lanes import Lanes
from support.servers import Serve, wait_until

SMALL = 1_000_000  # bytes: small enough for the lane, and more than all buffers on the path take


def test_a_file_that_was_replaced_by_a_larger_one_while_its_request_waited_takes_no_express_slot(
    huge: Path, serve: Serve, clients: ExitStack
) -> None:
    """All slots are taken, and an express slot becomes free."""
    replaced = huge.with_name("replaced.bin")
    for path in (replaced, huge.with_name("small.bin")):
        path.write_bytes(bytes(SMALL))
    lanes = Lanes(serve, huge.parent, clients)
    large = [lanes.ask("/huge.bin", 0, waiting) for waiting in (0, 0, 1)]
    small = [lanes.ask("/small.bin", express, 1) for express in (1, 2)]
    late = lanes.ask("/replaced.bin", 2, 2)
    larger = replaced.with_name("larger.bin")
    larger.write_bytes(bytes(2 * SMALL))
    larger.replace(replaced)
    small[0].socket.close()
    wait_until(lambda: lanes.counts() == (1, 2), "it waits among the large ones")
    for client in large:
        client.socket.close()
    assert late.read_response().content == bytes(2 * SMALL)
