"""Sockets that a service manager has bound are served, by their names; clients that connected before are answered."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.generations import Generations
from support.ports import free_port
from support.processes import environment, run, running
from support.servers import Client, Serve, find_program, run_python, wait_until
from support.service_manager import ACTIVATOR, socket_activation

Bind = Callable[..., socket.socket]


@pytest.fixture
def bind() -> Iterator[Bind]:
    """Return a function that binds listening sockets on free ports."""
    with ExitStack() as stack:

        def make(family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
            host = "127.0.0.1" if family == socket.AF_INET else "::1"
            return stack.enter_context(socket.create_server((host, 0), family=family))

        yield make


def port_of(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])


def refused(names: str, *listening: socket.socket) -> str:
    """Return the error of a server that cannot start with these sockets."""
    numbers = tuple(each.fileno() for each in listening)
    words = (ACTIVATOR, names, ",".join(map(str, numbers)), sys.executable, "-m", "freight", "serve", ".")
    ended = run(sys.executable, *words, env=environment(), pass_fds=numbers)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1), ended.stderr
    return ended.stderr


@pytest.mark.parametrize("name", ["", "files", "freight.socket", "unknown"])
def test_one_socket_serves_the_files_and_clients_that_connected_before_are_answered(
    huge: Path, serve: Serve, bind: Bind, name: str
) -> None:
    """The setting of the port is not used then."""
    listening = bind()
    with Client("127.0.0.1", port_of(listening)) as early:
        early.get("/", "Range: bytes=0-9")
        server = serve(huge, **socket_activation(name, listening))
        assert server.port == port_of(listening)
        assert early.read_response().content == bytes(10)
        assert server.get("/", "Range: bytes=0-9").content == bytes(10)


def test_the_other_sockets_are_identified_by_name(huge: Path, serve: Serve, bind: Bind) -> None:
    agent, files, admin = bind(), bind(), bind()
    server = serve(huge, **socket_activation("agent:files:admin", agent, files, admin))
    with Client("127.0.0.1", port_of(admin), named="localhost") as asked:
        asked.get("/readyz")
        assert asked.read_response().content == b"ready\n"
    with socket.create_connection(agent.getsockname(), 5) as told:
        assert told.makefile().read().startswith("up 100% maxconn:")
    assert server.get("/", "Range: bytes=0-9").content == bytes(10)


def test_several_sockets_of_one_unit_serve_the_files(huge: Path, serve: Serve, bind: Bind) -> None:
    """systemd gives the same name to each ListenStream= of a unit."""
    first, second = bind(), bind()
    server = serve(huge, **socket_activation("freight.socket:freight.socket", first, second))
    assert server.line_with("also at ") == f"freight: also at http://127.0.0.1:{port_of(second)}/\n"
    for each in (first, second):
        with Client("127.0.0.1", port_of(each)) as client:
            client.get("/", "Range: bytes=0-9")
            assert client.read_response().content == bytes(10)


def test_plain_http_is_redirected_from_the_socket_that_is_passed_for_it(huge: Path, serve: Serve, bind: Bind) -> None:
    files, redirect = bind(), bind()
    server = serve(huge, "--tls-self-signed", **socket_activation("files:redirect", files, redirect))
    with Client("127.0.0.1", port_of(redirect), named="localhost") as asked:
        asked.get("/huge.bin")
        assert asked.read_response().fields["location"] == f"https://localhost:{port_of(files)}/huge.bin"
    assert server.get("/", "Range: bytes=0-9").content == bytes(10)


def test_ipv6_is_served_as_it_was_bound(huge: Path, serve: Serve, bind: Bind) -> None:
    listening = bind(socket.AF_INET6)
    server = serve(huge, **socket_activation("files", listening))
    assert server.line.endswith(f" at http://[::1]:{port_of(listening)}/\n")
    with Client("::1", server.port) as client:
        client.get("/", "Range: bytes=0-9")
        assert client.read_response().content == bytes(10)


def test_sockets_for_another_process_are_left_alone(tmp_path: Path) -> None:
    """LISTEN_PID is another process's: nothing was passed to this one, and descriptor 3 is not open."""
    script = "import os; from freight.runtime.inherited_sockets import take; "
    script += "print(take(os.environ), 'LISTEN_FDS' in os.environ)"
    setting = "import os; os.environ |= {'LISTEN_FDS': '1', 'LISTEN_PID': '1'}; "
    assert run_python("-c", setting + script).stdout == "{} False\n"


def test_what_cannot_be_served_is_one_clear_line_and_status_2(bind: Bind) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        assert "does not listen for streams" in refused("", datagrams)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        assert "does not listen for streams" in refused("files", silent)
    assert "two sockets were passed for admin" in refused("files:admin:admin", bind(), bind(), bind())
    assert "none for files" in refused("admin", bind())
    assert "give --tls-cert too" in refused("files:redirect", bind(), bind())


def test_a_handed_over_socket_stays_the_one_that_was_passed(huge: Path, serve: Serve, bind: Bind) -> None:
    listening = bind()
    server = serve(huge, **socket_activation("freight.socket", listening))
    generations = Generations(server)
    try:
        generations.hand_over()
        assert server.get("/", "Range: bytes=0-9").content == bytes(10)
        assert generations.end() == 0
    finally:
        generations.close()


@pytest.mark.needs("systemd-socket-activate")
def test_systemds_own_activator_starts_it_with_the_first_connection(huge: Path) -> None:
    port = free_port()
    command = (find_program("systemd-socket-activate") or "", f"--listen=127.0.0.1:{port}", "--fdname=files")
    keep = [f"--setenv={name}" for name in ("PYTHONPATH", "PATH")]
    words = [*command, *keep, sys.executable, "-m", "freight", "serve", str(huge), "--admin", "none"]
    with running(words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as activator:
        wait_until(lambda: connects(port), "it listens")
        with Client("127.0.0.1", port) as client:
            client.get("/", "Range: bytes=0-9")
            assert client.read_response().content == bytes(10)
        assert activator.stdout is not None
        assert activator.stdout.readline() == f"freight: serving {huge} at http://127.0.0.1:{port}/\n".encode()


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True
