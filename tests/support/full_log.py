"""Make a server lose log lines: it keeps what cannot be written, up to 2 MiB."""

from __future__ import annotations

from support.servers import Client, ServerProcess


def request_lines(client: Client, count: int) -> None:
    """Cause ``count`` log lines, each of which takes some KiB in the queue."""
    for _ in range(count):
        client.get(f"/?{'x' * 2000}", "Range: bytes=0-9")
        client.read_response()


def lose_lines(server: ServerProcess) -> int:
    """Send requests on one connection until lines are lost. Return how many were."""
    with server.connect() as client:
        for _ in range(80):
            request_lines(client, 100)
            if server.status()["log"]["lost_total"]:
                break
    lost: int = server.status()["log"]["lost_total"]
    assert lost > 0, "no line was lost"
    return lost
