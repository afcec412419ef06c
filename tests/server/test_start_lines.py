"""The start lines: each address at which clients reach the server, its process, and how many downloads fit."""

from __future__ import annotations

import re
import signal
import socket
from pathlib import Path

import pytest

from support.servers import Client, Serve, ServerProcess


def lines(server: ServerProcess) -> list[str]:
    """Return all start lines. The last one has the pid."""
    found = [server.line]
    while not found[-1].startswith("freight: pid "):
        found.append(server._next_line())
    return [line.rstrip("\n") for line in found]


def test_one_address_is_one_line_and_the_last_one_has_process_and_budget(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--memory", "20MB")
    first, last = lines(server)
    assert first == f"freight: serving {huge} at http://127.0.0.1:{server.port}/"
    assert last == f"freight: pid {server.pid}, memory 20MB: 528 downloads at once"


def test_each_listener_has_a_line_and_one_process_takes_the_signals(huge: Path, serve: Serve) -> None:
    flags = ("--tls-self-signed", "--redirect-port", "0", "--haproxy-agent", "127.0.0.1:0", "--workers", "2")
    server = serve(huge, *flags, host="127.0.0.1")
    first, redirecting, agent, certificate, last = lines(server)
    assert first == f"freight: serving {huge} at https://127.0.0.1:{server.port}/"
    assert re.fullmatch(r"freight: redirecting to HTTPS from http://127\.0\.0\.1:\d+/", redirecting)
    assert re.fullmatch(r"freight: agent-check at tcp://127\.0\.0\.1:\d+/", agent)
    assert re.fullmatch(
        r"freight: self-signed certificate, SHA-256 fingerprint ([0-9A-F]{2}:){31}[0-9A-F]{2}", certificate
    )
    assert re.fullmatch(rf"freight: pid {server.pid}, 2 workers, memory 64MiB: [\d,]+ downloads at once", last)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_wildcard_address_is_shown_as_the_addresses_that_can_be_used(huge: Path, serve: Serve, host: str) -> None:
    if host == "::" and not socket.has_dualstack_ipv6():
        pytest.skip("there is no IPv6")
    server = serve(huge, host=host)
    first, *others, _ = lines(server)
    told = [first.rsplit(" ", 1)[1], *(other.removeprefix("freight: also at ") for other in others)]
    assert told[-1] == f"http://127.0.0.1:{server.port}/"
    for url in told:
        found = re.fullmatch(r"http://(?:\[([0-9a-f:]+)\]|([0-9.]+)):(\d+)/", url)
        assert found is not None, url
        with Client(found[1] or found[2], int(found[3])) as client:
            client.get("/", "Range: bytes=0-9")
            assert client.read_response().content == bytes(10)


def test_the_current_directory_is_shown_by_its_own_name(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert serve(".").line.startswith(f"freight: serving {tmp_path} at http://")


def test_start_lines_are_plain_whatever_the_log_is(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--log-format", "json")
    assert lines(server)[-1].startswith(f"freight: pid {server.pid}, ")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert [line[0] for line in server.log] == ["{"]


def test_a_variable_that_is_ignored_is_a_warning_in_the_log(
    huge: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FREIGHT_MEMROY", "1MB")
    server = serve(huge, "--log-format", "json")
    line = server.wait_for_log("FREIGHT_MEMROY")
    assert '"level": "warning", "message": "ignoring FREIGHT_MEMROY: there is no such setting; did you mean' in line
