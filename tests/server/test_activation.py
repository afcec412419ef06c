"""Sockets that somebody else has bound are served, by their names; whoever connected before the start is answered."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lineages import Lineage
from managing import ACTIVATOR, passing
from processes import environment, running
from serving import Client, Served, find_program, run_python, until

Serve = Callable[..., Served]
Bind = Callable[..., socket.socket]


@pytest.fixture
def bind() -> Iterator[Bind]:
    """Binds listening sockets of this machine, on free ports."""
    with ExitStack() as stack:

        def make(family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
            host = "127.0.0.1" if family == socket.AF_INET else "::1"
            return stack.enter_context(socket.create_server((host, 0), family=family))

        yield make


def port_of(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])


def refused(names: str, *listening: socket.socket, command: tuple[str, ...] = ()) -> str:
    """What a server says that cannot begin with these."""
    numbers = tuple(each.fileno() for each in listening)
    words = (ACTIVATOR, names, ",".join(map(str, numbers)), sys.executable, "-m", "freight", "serve", ".", *command)
    ended = subprocess.run(
        [sys.executable, *words],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        pass_fds=numbers,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1), ended.stderr
    return ended.stderr


@pytest.mark.parametrize("name", ["", "files", "freight.socket", "unknown"])
def test_one_socket_is_that_of_the_files_and_who_had_connected_before_is_answered(
    huge: Path, serve: Serve, bind: Bind, name: str
) -> None:
    """The setting of the port counts for nothing then."""
    listening = bind()
    with Client("127.0.0.1", port_of(listening)) as early:
        early.get("/", "Range: bytes=0-9")
        server = serve(huge, **passing(name, listening))
        assert server.port == port_of(listening)
        assert early.answer().content == bytes(10)
        assert server.get("/", "Range: bytes=0-9").content == bytes(10)


def test_the_others_are_told_by_name(huge: Path, serve: Serve, bind: Bind) -> None:
    agent, files, admin = bind(), bind(), bind()
    server = serve(huge, **passing("agent:files:admin", agent, files, admin))
    with Client("127.0.0.1", port_of(admin), named="localhost") as asked:
        asked.get("/readyz")
        assert asked.answer().content == b"ready\n"
    with socket.create_connection(agent.getsockname(), 5) as told:
        assert told.makefile().read().startswith("up 100% maxconn:")
    assert server.get("/", "Range: bytes=0-9").content == bytes(10)


def test_plain_http_is_sent_on_from_the_socket_that_is_passed_for_it(huge: Path, serve: Serve, bind: Bind) -> None:
    files, redirect = bind(), bind()
    server = serve(huge, "--tls-self-signed", **passing("files:redirect", files, redirect))
    with Client("127.0.0.1", port_of(redirect), named="localhost") as asked:
        asked.get("/huge.bin")
        assert asked.answer().fields["location"] == f"https://localhost:{port_of(files)}/huge.bin"
    assert server.get("/", "Range: bytes=0-9").content == bytes(10)


def test_ipv6_is_served_as_it_was_bound(huge: Path, serve: Serve, bind: Bind) -> None:
    listening = bind(socket.AF_INET6)
    server = serve(huge, **passing("files", listening))
    assert server.line.endswith(f" at http://[::1]:{port_of(listening)}/\n")
    with Client("::1", server.port) as client:
        client.get("/", "Range: bytes=0-9")
        assert client.answer().content == bytes(10)


def test_sockets_for_another_process_are_left_alone(tmp_path: Path) -> None:
    """LISTEN_PID is somebody else's: so it is as if nothing had been passed, and nothing is there at descriptor 3."""
    script = "import os; from freight.server.inherited import take; print(take(os.environ), 'LISTEN_FDS' in os.environ)"
    setting = "import os; os.environ |= {'LISTEN_FDS': '1', 'LISTEN_PID': '1'}; "
    assert run_python("-c", setting + script).stdout == "{} False\n"


def test_what_cannot_be_served_is_one_clear_line_and_status_2(bind: Bind) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        assert "does not listen for TCP" in refused("", datagrams)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        assert "does not listen for TCP" in refused("files", silent)
    with socket.socket(socket.AF_UNIX) as local:
        local.bind("")  # a name of the kernel's choice
        local.listen()
        assert "does not listen for TCP" in refused("files", local)
    assert "two sockets were passed for files" in refused("web:freight.socket", bind(), bind())
    assert "none for files" in refused("admin", bind())
    assert "give --tls-cert too" in refused("files:redirect", bind(), bind())


def test_a_handed_over_socket_stays_the_one_that_was_passed(huge: Path, serve: Serve, bind: Bind) -> None:
    listening = bind()
    server = serve(huge, **passing("freight.socket", listening))
    lineage = Lineage(server)
    try:
        lineage.hand_over()
        assert server.get("/", "Range: bytes=0-9").content == bytes(10)
        assert lineage.end() == 0
    finally:
        lineage.close()


@pytest.mark.needs("systemd-socket-activate")
def test_systemds_own_activator_starts_it_with_the_first_connection(huge: Path, bind: Bind) -> None:
    with bind() as free:
        port = port_of(free)
    command = (find_program("systemd-socket-activate") or "", f"--listen=127.0.0.1:{port}", "--fdname=files")
    keep = [f"--setenv={name}" for name in ("PYTHONPATH", "PATH")]
    words = [*command, *keep, sys.executable, "-m", "freight", "serve", str(huge), "--admin", "none"]
    with running(words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as activator:
        until(lambda: connects(port), "it listens")
        with Client("127.0.0.1", port) as client:
            client.get("/", "Range: bytes=0-9")
            assert client.answer().content == bytes(10)
        assert activator.stdout is not None
        assert activator.stdout.readline() == f"freight: serving {huge} at http://127.0.0.1:{port}/\n".encode()


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True
