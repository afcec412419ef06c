"""What waits for a slot, and what got none: both are told why, at the admin listener, in the answer and in the log."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from freight.sample import write_sample
from serving import Client, Served, until

Serve = Callable[..., Served]
Ask = Callable[[Served], Client]

SIZE = 64 << 20


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("site")
    write_sample(root / "huge.csv", SIZE)
    return root


@pytest.fixture
def ask() -> Iterator[Ask]:
    """A client that has asked for the file, and reads nothing by itself."""
    with ExitStack() as stack:

        def begin(server: Served) -> Client:
            client = stack.enter_context(server.connect(64 * 1024))
            client.get("/huge.csv")
            return client

        yield begin


def waits(server: Served, count: int) -> list[dict[str, Any]]:
    """The requests that wait, once there are so many."""
    until(lambda: server.gate()["waiting"] == count, f"{count} wait")
    found: list[dict[str, Any]] = server.status()["waiting"]
    assert len(found) == count
    return found


def metrics(server: Served) -> dict[str, float]:
    """Samples by name and labels, those that are 0 left out."""
    lines = server.ask_admin("/metrics").content.decode().splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {name: float(value) for name, value in pairs if float(value)}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_status_says_which_server_it_is(serve: Serve, site: Path, workers: str) -> None:
    server = serve(site, "--workers", workers, "--memory", "64MiB", admin=True)
    status = server.status()
    assert status["pid"] == server.pid
    assert status["server"] == {
        "path": str(site),
        "urls": [f"http://127.0.0.1:{server.port}/"],
        "memory": "64MiB",
        "workers": int(workers),
    }


def test_a_clients_limit_is_named_to_the_operator_to_the_client_and_in_the_log(
    serve: Serve, site: Path, ask: Ask
) -> None:
    server = serve(site, "--per-client", "1", "--queue", "1", "--max-wait", "1h", admin=True)
    assert ask(server).head()[0] == 200
    _ = ask(server)
    (waiting,) = waits(server, 1)
    assert (waiting["client"], waiting["target"], waiting["place"]) == ("127.0.0.1", "/huge.csv", 1)
    assert waiting["reason"] == "per-client" and waiting["seconds"] >= 0
    before = server.status()["time"]["waiting_seconds"]
    until(lambda: server.status()["time"]["waiting_seconds"] > before, "the time of one that still waits counts")
    refused = server.get("/huge.csv")
    said = "You already have 1 download running here (the limit per client is 1), and the queue is full (1 waiting)."
    text = refused.content.decode()
    assert refused.status == 503 and text.startswith(f"503 Service Unavailable: {said} Try again in ")
    assert ' 503 refused="queue-full:per-client" ' in server.await_log(" 503 ")
    gate = server.gate()
    assert gate["waiting_by_reason"]["per-client"] == gate["refused_by_reason_total"]["per-client"] == 1
    assert (gate["refused_total"], gate["expired_total"]) == (1, 0)
    found = metrics(server)
    assert found['freight_gate_waiting_by_reason{reason="per-client"}'] == 1
    assert found['freight_gate_refused_by_reason_total{reason="per-client"}'] == 1


def test_a_full_server_is_named_as_one(serve: Serve, site: Path, ask: Ask) -> None:
    server = serve(site, "--memory", "256KiB", "--queue", "3", "--max-wait", "1h", admin=True)
    slots = server.gate()["slots"]
    for _ in range(slots):
        assert ask(server).head()[0] == 200
    for _ in range(3):
        _ = ask(server)
    rows = waits(server, 3)
    assert [row["place"] for row in rows] == [1, 2, 3]
    assert {row["reason"] for row in rows} == {"slots"}
    refused = server.get("/huge.csv", "Accept: application/json")
    told = json.loads(refused.content)
    assert re.match(rf"The server is full: {slots} downloads? running, 3 waiting\. ", told["detail"])
    assert ' refused="queue-full:slots" ' in server.await_log(" 503 ")


def test_who_waited_too_long_is_told_how_long_and_for_what(serve: Serve, site: Path, ask: Ask) -> None:
    server = serve(site, "--per-client", "1", "--max-wait", "1s", "--log-format", "json", admin=True)
    assert ask(server).head()[0] == 200
    late = ask(server).answer()
    assert late.status == 503
    assert b"This request waited 1 second for its turn. You already have 1 download running here" in late.content
    line = json.loads(server.await_log('"status": 503'))
    assert (line["refused"], line["ended"]) == ("max-wait:per-client", "complete")
    assert server.gate()["expired_total"] == server.gate()["refused_total"] == 1


def test_with_several_workers_all_that_waits_is_there_and_the_sums_are_right(
    serve: Serve, site: Path, ask: Ask
) -> None:
    server = serve(site, "--workers", "2", "--per-client", "2", "--queue", "6", "--max-wait", "1h", admin=True)
    running = [ask(server) for _ in range(2)]
    assert [client.head()[0] for client in running] == [200, 200]
    for _ in range(6):
        _ = ask(server)
    rows = waits(server, 6)
    assert {row["reason"] for row in rows} == {"per-client"}
    assert {row["worker"] for row in rows} <= set(server.pids())
    assert [row["place"] for row in rows] == sorted(row["place"] for row in rows)
    assert server.gate()["waiting_by_reason"]["per-client"] == 6
    before = server.status()["time"]["waiting_seconds"]
    until(lambda: server.status()["time"]["waiting_seconds"] > before + 6, "each of the six counts")
    refused = server.get("/huge.csv")
    assert b"You already have 2 downloads running here (the limit per client is 2)" in refused.content
    until(lambda: server.gate()["refused_by_reason_total"]["per-client"] == 1, "it is counted")
