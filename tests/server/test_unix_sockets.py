"""Files over Unix sockets: who the client is, what is complete, what memory is held, and what becomes of the file."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from freight.units import format_size
from support.certificates import KeyPair
from support.generations import Generations
from support.processes import is_running, kill_process_group, start_process
from support.servers import (
    HUGE_BYTES,
    TIMEOUT_SECONDS,
    IncompleteResponse,
    Serve,
    ServerProcess,
    UnixClient,
    find_program,
    wait_until,
)
from support.service_manager import socket_activation

Follow = Callable[[ServerProcess], Generations]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a path for a socket, which is short enough for one."""
    return tmp_path / "s"


def host(path: Path) -> tuple[str, str]:
    return "--host", f"unix:{path}"


def curl(path: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    command = ["curl", "-sS", "--max-time", str(TIMEOUT_SECONDS), "--unix-socket", os.fspath(path), *words]
    return subprocess.run(command, capture_output=True, check=False, timeout=2 * TIMEOUT_SECONDS)


def test_it_serves_beside_tcp_and_the_start_lines_say_how_to_ask(huge: Path, serve: Serve, path: Path) -> None:
    server = serve(huge, *host(path), "--socket-mode", "0600")
    assert server.line_with("also at unix:") == f"freight: also at unix:{path}\n"
    assert server.line_with("try: ") == f"freight: try: curl --unix-socket {path} http://localhost/\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert curl(path, "-r", "0-9", "http://localhost/").stdout == bytes(10)
    assert server.get("/", "Range: bytes=0-9").content == bytes(10)
    assert "127.0.0.1 " in server.wait_for_log("bytes=0-9", "10/10", "complete", count=2)
    assert " unix " in server.wait_for_log("bytes=0-9", "10/10", "complete")
    assert curl(path, "-w", "%{size_download}", "-o", os.devnull, "http://localhost/").stdout == b"%d" % HUGE_BYTES
    assert " unix " in server.wait_for_log(f"{HUGE_BYTES}/{HUGE_BYTES}", "complete")
    server.signal()
    assert server.wait() == 0
    assert not path.exists()


def test_http2_and_tls_too(huge: Path, serve: Serve, path: Path, pair: KeyPair) -> None:
    sized = ("-o", os.devnull, "-w", "%{http_version} %{size_download}")
    serve(huge, *host(path))
    assert curl(path, "--http2-prior-knowledge", *sized, "http://localhost/").stdout == b"2 %d" % HUGE_BYTES
    secure = path.with_name("t")
    server = serve(huge, *host(secure), "--tls-cert", str(pair.cert), "--tls-key", str(pair.key))
    for version in ("1.1", "2"):
        found = curl(secure, "-k", f"--http{version}", *sized, "https://localhost/")
        assert found.stdout == b"%s %d" % (version.encode(), HUGE_BYTES), found.stderr
        # It may be called aborted, after less: a client that closes discards what TLS or HTTP/2 has sent at the end.
        server.wait_for_log(f"/{HUGE_BYTES} ")
        server.clear_log()
    plain = curl(secure, "http://localhost/")
    assert b"Plain HTTP was sent" in plain.stdout


def test_an_answer_that_its_client_has_not_read_is_not_complete(huge: Path, serve: Serve, path: Path) -> None:
    """The kernel has taken all of it, and discards it when the client closes."""
    server = serve(huge, *host(path))
    for count in (10, 4000):
        with UnixClient(path) as client:
            client.get("/", f"Range: bytes=0-{count - 1}")
            server.get("/mark")  # answered after it
        assert " 0/" in server.wait_for_log(f"0-{count - 1}", "peer-gone")
    with UnixClient(path) as client:
        client.get("/")
        client.read_exactly(1 << 20)
    line = server.wait_for_log('"GET /"', f"/{HUGE_BYTES}", "peer-gone")
    assert f" {HUGE_BYTES}/" not in line


def test_an_aborted_download_is_incomplete_and_counted_until_its_client_has_read_it(
    huge: Path, serve: Serve, path: Path
) -> None:
    """A close cannot take back what the kernel has for the client, so the budget counts it for longer."""
    server = serve(huge, *host(path), "--idle-timeout", "1s", "--pause-timeout", "1s", admin=True)
    with UnixClient(path) as client:
        client.get("/")
        client.read_head()
        server.wait_for_log("GET /", "stalled")
        held = server.status()
        assert held["connections"]["open"] == 1
        assert held["memory"]["kernel_send_bytes"] > 0
        with pytest.raises(IncompleteResponse):
            client.read_exactly(HUGE_BYTES)
        wait_until(lambda: server.status()["connections"]["open"] == 0, "the connection is closed")
    assert server.status()["memory"]["kernel_send_bytes"] == 0


def test_50_clients_that_read_nothing_stay_within_the_budget(huge: Path, serve: Serve, path: Path) -> None:
    memory = 2 << 20
    server = serve(huge, *host(path), "--memory", format_size(memory), admin=True)
    clients = [UnixClient(path) for _ in range(50)]
    try:
        for client in clients:
            client.get("/")
        status = server.status_when(
            lambda found: found["admission"]["running"] + found["admission"]["waiting"] == 50, "all have asked"
        )
        used = status["memory"]
        grown = used["process_bytes"] - used["baseline_bytes"]
        assert grown + used["kernel_send_bytes"] <= memory
        assert status["admission"]["running"] > 20
    finally:
        for client in clients:
            client.socket.close()


def test_clients_share_a_key_unless_the_proxy_is_trusted(huge: Path, serve: Serve, path: Path) -> None:
    plain, trusting = path, path.with_name("t")
    first = serve(huge, *host(plain))
    second = serve(huge, *host(trusting), "--trusted-proxy", "unix")
    for server, socket_path, client in ((first, plain, "unix"), (second, trusting, "192.0.2.7")):
        curl(socket_path, "-r", "0-9", "-H", "X-Forwarded-For: unix, 192.0.2.7", "http://localhost/")
        assert f" {client} " in server.wait_for_log("bytes=0-9")
    second.get("/", "Range: bytes=0-8", "X-Forwarded-For: 192.0.2.8")
    assert " 127.0.0.1 " in second.wait_for_log("bytes=0-8")


def test_a_proxy_header_is_believed_from_the_socket_only_if_that_is_trusted(
    huge: Path, serve: Serve, path: Path
) -> None:
    for trusted, answered in (("unix", True), ("192.0.2.0/24", False)):
        socket_path = path.with_name(f"p{answered}")
        server = serve(huge, *host(socket_path), "--proxy-protocol", "--trusted-proxy", trusted)
        with UnixClient(socket_path) as client:
            if answered:
                client.send(b"PROXY TCP4 192.0.2.9 192.0.2.1 1000 80\r\n")
                client.get("/", "Range: bytes=0-9")
                assert client.read_response().content == bytes(10)
                assert " 192.0.2.9 " in server.wait_for_log("bytes=0-9")
            else:
                server.wait_for_log("unix", "proxy-header-failed")
                assert client.read_to_end() == b""


def test_after_kill_9_the_next_server_replaces_the_file_and_a_third_is_refused(
    huge: Path, serve: Serve, path: Path
) -> None:
    server = serve(huge, *host(path))
    server.signal(signal.SIGKILL)
    server.wait()
    assert path.exists()
    serve(huge, *host(path))
    assert curl(path, "-r", "0-9", "http://localhost/").stdout == bytes(10)
    with pytest.raises(AssertionError, match=r"a server listens on .*; stop it, or choose another path"):
        serve(huge, *host(path))
    assert path.exists()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_file_stays_at_an_upgrade_and_its_last_owner_removes_it(
    huge: Path, serve: Serve, follow: Follow, path: Path, workers: str
) -> None:
    admin = path.with_name("a")
    server = serve(huge, *host(path), "--admin", f"unix:{admin}", "--workers", workers)
    generations = follow(server)
    with UnixClient(path) as client:
        client.get("/")
        client.read_head()
        for _ in range(2):
            generations.hand_over()
            assert curl(path, "-r", "0-9", "http://localhost/").stdout == bytes(10)
            assert curl(admin, "http://localhost/readyz").stdout == b"ready\n"
        assert client.read_exactly(HUGE_BYTES) == bytes(HUGE_BYTES)
    wait_until(lambda: not is_running(generations.pids[1]), "the second has ended")
    assert path.exists()
    assert generations.end() == 0
    assert not path.exists()
    assert not admin.exists()


def test_a_socket_of_systemd_is_served_and_never_removed(huge: Path, serve: Serve, path: Path) -> None:
    tcp = socket.create_server(("127.0.0.1", 0))
    with socket.socket(socket.AF_UNIX) as listening, tcp:
        listening.bind(os.fspath(path))
        listening.listen()
        server = serve(huge, **socket_activation("files:own-files", tcp, listening))
        assert curl(path, "-r", "0-9", "http://localhost/").stdout == bytes(10)
        server.signal()
        assert server.wait() == 0
        assert path.exists()
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):  # a connection would make systemd start the service again
            listening.accept()


NGINX = """\
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder};
    scgi_temp_path {folder}; access_log off;
    upstream freight {{ server unix:{path}; keepalive 4; }}
    server {{
        listen unix:{front};
        location / {{
            proxy_pass http://freight;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For 192.0.2.33;
            proxy_set_header Forwarded "";
            proxy_max_temp_file_size 0;
        }}
    }}
}}
"""


@pytest.mark.skipif(find_program("nginx") is None, reason="nginx is not installed")
def test_nginx_passes_on_a_download_and_an_abort(huge: Path, serve: Serve, path: Path, tmp_path: Path) -> None:
    server, front = serve(huge, *host(path), "--trusted-proxy", "unix"), tmp_path / "n"
    config = tmp_path / "nginx.conf"
    config.write_text(NGINX.format(folder=tmp_path, path=path, front=front))
    nginx = start_process([find_program("nginx") or "nginx", "-c", str(config), "-e", str(tmp_path / "error.log")])
    try:
        wait_until(front.exists, "nginx listens")
        sized = ("-o", os.devnull, "-w", "%{size_download}", "http://localhost/")
        assert curl(front, *sized).stdout == b"%d" % HUGE_BYTES
        assert " 192.0.2.33 " in server.wait_for_log(f"{HUGE_BYTES}/{HUGE_BYTES}", "complete")
        with UnixClient(front) as client:
            client.get("/")
            client.read_exactly(1 << 20)
            server.signal(signal.SIGKILL)
            server.wait()
            with pytest.raises(IncompleteResponse):
                client.read_exactly(HUGE_BYTES)
    finally:
        kill_process_group(nginx)
