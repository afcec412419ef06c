"""Why requests wait or are rejected: at the admin listener, in the answer and in the log."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from freight.tools.sample import write_sample
from support.servers import Client, Serve, ServerProcess, wait_until

Ask = Callable[[ServerProcess], Client]

SIZE = 64 << 20
PATIENT = ("--idle-timeout", "10m", "--min-rate", "none")  # no client is ended before it is counted


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("site")
    write_sample(root / "huge.csv", SIZE)
    return root


@pytest.fixture
def ask() -> Iterator[Ask]:
    """Return a function that requests the file on a new connection and reads nothing."""
    with ExitStack() as stack:

        def begin(server: ServerProcess) -> Client:
            # So small that it is lent nothing: a loan of a client that stalls would keep others from running.
            client = stack.enter_context(server.connect(4096))
            client.get("/huge.csv")
            return client

        yield begin


def waits(server: ServerProcess, count: int) -> list[dict[str, Any]]:
    """Return the waiting requests once there are ``count``."""
    status = server.status_when(
        lambda found: len(found["waiting"]) == found["admission"]["waiting"] == count, f"{count} wait"
    )
    found: list[dict[str, Any]] = status["waiting"]
    return found


def metrics(server: ServerProcess) -> dict[str, float]:
    """Return the samples that are not 0, by name and labels."""
    lines = server.ask_admin("/metrics").content.decode().splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {name: float(value) for name, value in pairs if float(value)}


def test_downloads_are_numbered_as_they_start(serve: Serve, site: Path, ask: Ask) -> None:
    """A number stays with its download, and no later one has it."""
    server = serve(site, admin=True)

    def numbers() -> list[int]:
        return sorted(row["id"] for row in server.status()["transfers"]["running"])

    first = ask(server)
    wait_until(lambda: numbers() == [1], "the first runs")
    ask(server)
    wait_until(lambda: numbers() == [1, 2], "the second runs beside it")
    first.socket.close()
    wait_until(lambda: numbers() == [2], "the first has ended")
    ask(server)
    wait_until(lambda: numbers() == [2, 3], "a third runs")


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


def test_the_limit_per_client_is_named_to_the_operator_to_the_client_and_in_the_log(
    serve: Serve, site: Path, ask: Ask
) -> None:
    server = serve(site, "--max-per-client", "1", "--queue-size", "1", "--queue-timeout", "1h", admin=True)
    assert ask(server).read_head()[0] == 200
    _ = ask(server)
    (waiting,) = waits(server, 1)
    assert (waiting["client"], waiting["target"], waiting["place"]) == ("127.0.0.1", "/huge.csv", 1)
    assert waiting["reason"] == "max-per-client" and waiting["seconds"] >= 0
    before = server.status()["time"]["waiting_seconds"]
    wait_until(lambda: server.status()["time"]["waiting_seconds"] > before, "the time of one that still waits counts")
    refused = server.get("/huge.csv")
    said = "You already have 1 download running here (the limit per client is 1), and the queue is full (1 waiting)."
    text = refused.content.decode()
    assert refused.status == 503 and text.startswith(f"503 Service Unavailable: {said} Try again in ")
    assert ' 503 refused="queue-full:max-per-client" ' in server.wait_for_log(" 503 ")
    gate = server.gate()
    assert gate["waiting_by_reason"]["max-per-client"] == gate["refused_by_reason_total"]["max-per-client"] == 1
    assert (gate["refused_total"], gate["expired_total"]) == (1, 0)
    found = metrics(server)
    assert found['freight_admission_waiting_by_reason{reason="max-per-client"}'] == 1
    assert found['freight_admission_refused_by_reason_total{reason="max-per-client"}'] == 1


def test_a_full_server_says_that_it_is_full(serve: Serve, site: Path, ask: Ask) -> None:
    server = serve(site, "--memory", "256KiB", "--queue-size", "3", "--queue-timeout", "1h", *PATIENT, admin=True)
    slots = server.gate()["slots"]
    for _ in range(slots):
        assert ask(server).read_head()[0] == 200
    for _ in range(3):
        _ = ask(server)
    rows = waits(server, 3)
    assert [row["place"] for row in rows] == [1, 2, 3]
    assert {row["reason"] for row in rows} == {"slots"}
    refused = server.get("/huge.csv", "Accept: application/json")
    told = json.loads(refused.content)
    assert re.match(rf"The server is full: {slots} downloads? running, 3 waiting\. ", told["detail"])
    assert ' refused="queue-full:slots" ' in server.wait_for_log(" 503 ")


def test_a_request_that_waited_too_long_is_told_how_long_and_for_what(serve: Serve, site: Path, ask: Ask) -> None:
    server = serve(site, "--max-per-client", "1", "--queue-timeout", "1s", "--log-format", "json", admin=True)
    assert ask(server).read_head()[0] == 200
    late = ask(server).read_response()
    assert late.status == 503
    assert b"This request waited 1 second in the queue. You already have 1 download running here" in late.content
    line = json.loads(server.wait_for_log('"status": 503'))
    assert (line["refused"], line["ended"]) == ("queue-timeout:max-per-client", "complete")
    assert server.gate()["expired_total"] == server.gate()["refused_total"] == 1


def test_with_several_workers_all_waiting_requests_are_shown_and_the_sums_are_right(
    serve: Serve, site: Path, ask: Ask
) -> None:
    server = serve(
        site, "--workers", "2", "--max-per-client", "2", "--queue-size", "6", "--queue-timeout", "1h", admin=True
    )
    running = [ask(server) for _ in range(2)]
    assert [client.read_head()[0] for client in running] == [200, 200]
    for _ in range(6):
        _ = ask(server)
    rows = waits(server, 6)
    assert {row["reason"] for row in rows} == {"max-per-client"}
    assert {row["worker"] for row in rows} <= set(server.pids())
    assert [row["place"] for row in rows] == sorted(row["place"] for row in rows)
    assert server.gate()["waiting_by_reason"]["max-per-client"] == 6
    before = server.status()["time"]["waiting_seconds"]
    wait_until(lambda: server.status()["time"]["waiting_seconds"] > before + 6, "each of the six counts")
    refused = server.get("/huge.csv")
    assert b"You already have 2 downloads running here (the limit per client is 2)" in refused.content
    wait_until(lambda: server.gate()["refused_by_reason_total"]["max-per-client"] == 1, "it is counted")
