"""Behind a proxy, over real sockets: which client the log names, and which peers get no service."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.nginx import nginx
from support.processes import run
from support.raw_h2 import Http2Client
from support.servers import Serve, ServerProcess

CONTENT = bytes(range(256)) * 40
TRUSTED = ("--trusted-proxy", "127.0.0.0/8")
STRANGERS = ("--trusted-proxy", "192.0.2.0/24")  # no address of this machine is in it
LINE = b"PROXY TCP4 198.51.100.7 192.0.2.2 4711 80\r\n"
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
BLOCK = SIGNATURE + b"\x21\x11\x00\x0c" + socket.inet_aton("198.51.100.7") + socket.inet_aton("192.0.2.2") + bytes(4)
BLOCK_6 = SIGNATURE + b"\x21\x21\x00\x24" + socket.inet_pton(socket.AF_INET6, "2001:db8::7") + bytes(20)
MAPPED = SIGNATURE + b"\x21\x21\x00\x24" + socket.inet_pton(socket.AF_INET6, "::ffff:198.51.100.7") + bytes(20)
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"
REQUEST = b"GET /a.bin HTTP/1.1\r\nHost: x\r\n\r\n"


IMPATIENT = ("--idle-timeout", "1s", "--log-format", "json")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("site")
    (root / "a.bin").write_bytes(CONTENT)
    (root / "sub" / "a:b").mkdir(parents=True)
    return root


@pytest.fixture(scope="module")
def shared() -> Iterator[dict[tuple[str, ...], ServerProcess]]:
    """Return servers by their options. Tests with the same options share one."""
    servers: dict[tuple[str, ...], ServerProcess] = {}
    yield servers
    with ExitStack() as stack:
        for server in servers.values():
            stack.callback(server.close)


@pytest.fixture
def context(root: Path, shared: dict[tuple[str, ...], ServerProcess]) -> Serve:
    """Return a function that finds a server with these options, a timeout of 1 s, and an empty log."""

    def find(*options: str) -> ServerProcess:
        if options not in shared:
            shared[options] = ServerProcess((str(root), *IMPATIENT, *options))
        elif "--proxy-protocol" in options:
            forget(shared[options])
        else:
            shared[options].clear_log_when_written()
        return shared[options]

    return find


def forget(server: ServerProcess) -> None:
    """Do what :meth:`Served.forget` does, for a server that logs a missing PROXY header."""
    before = sum("proxy-header-failed" in line for line in server.log)
    with server.connect() as connection:
        connection.send(b"no header\r\n\r\n")
        assert received(connection.socket) == b""
    server.wait_for_log("proxy-header-failed", count=before + 1)
    server.clear_log()


def logged(server: ServerProcess, *words: str, count: int = 1) -> dict[str, object]:
    """Return the entry of the log line that has these words."""
    entry: dict[str, object] = json.loads(server.wait_for_log(*words, count=count))
    return entry


def received(connection: socket.socket) -> bytes:
    """Return what arrives until the end, orderly or by reset: a close with unread bytes resets."""
    try:
        return connection.recv(1 << 16)
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize(
    ("fields", "client"),
    [
        ((), "127.0.0.1"),
        (("X-Forwarded-For: 198.51.100.7",), "198.51.100.7"),
        (("X-Forwarded-For: 6.6.6.6, 198.51.100.7",), "198.51.100.7"),
        (("X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 198.51.100.7, 127.0.0.9"), "198.51.100.7"),
        (('Forwarded: for=6.6.6.6, for="[2001:DB8::7]:4711"',), "2001:db8::7"),
        (("X-Forwarded-For: ::ffff:198.51.100.7",), "198.51.100.7"),
        (("X-Forwarded-For: 6.6.6.6, unknown",), "127.0.0.1"),
    ],
)
def test_a_trusted_proxy_names_the_client(context: Serve, fields: tuple[str, ...], client: str) -> None:
    server = context(*TRUSTED)
    assert server.get("/a.bin", *fields).content == CONTENT
    assert logged(server, "GET")["client"] == client


@pytest.mark.parametrize("options", [(), STRANGERS])
def test_an_untrusted_peer_does_not_name_the_client(context: Serve, options: tuple[str, ...]) -> None:
    server = context(*options)
    assert server.get("/a.bin", "X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6").content == CONTENT
    assert logged(server, "GET")["client"] == "127.0.0.1"


def test_each_request_of_a_connection_has_its_own_client(context: Serve) -> None:
    """A proxy uses one connection for many clients. What is no request is attributed to the proxy."""
    server = context(*TRUSTED)
    with server.connect() as client:
        for number in (1, 2):
            client.get("/a.bin", f"X-Forwarded-For: 198.51.100.{number}")
            assert client.read_response().content == CONTENT
        client.get("/a.bin")
        assert client.read_response().content == CONTENT
        client.send(b"nonsense\r\n\r\n")
        assert client.read_response().status == 400
    assert [logged(server, '"client"', count=number)["client"] for number in (1, 2, 3, 4)] == [
        "198.51.100.1",
        "198.51.100.2",
        "127.0.0.1",
        "127.0.0.1",
    ]


def test_a_head_that_the_proxy_itself_sent_before_has_the_client_that_it_names(context: Serve) -> None:
    """In a connection of the proxy's own, its fields name no client."""
    server = context(*TRUSTED, "--proxy-protocol")
    named = b"GET /a.bin HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"
    with server.connect() as own, server.connect() as other:
        own.send(LOCAL)
        other.send(b"PROXY TCP4 127.0.0.1 192.0.2.2 4711 80\r\n" + REQUEST)
        assert other.read_response().content == CONTENT
        for _ in range(3):
            own.send(named)
            assert own.read_response().content == CONTENT
        other.send(named)
        assert other.read_response().content == CONTENT
        assert logged(server, "203.0.113.9")["client"] == "203.0.113.9"


@pytest.mark.parametrize(
    ("header", "client"),
    [
        (LINE, "198.51.100.7"),
        (BLOCK, "198.51.100.7"),
        (BLOCK_6, "2001:db8::7"),
        (MAPPED, "198.51.100.7"),
        (LOCAL, "127.0.0.1"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    ],
    ids=["version 1", "version 2", "IPv6", "mapped", "LOCAL", "UNKNOWN"],
)
@pytest.mark.parametrize("options", [(), TRUSTED], ids=["from anybody", "from the trusted"])
@pytest.mark.parametrize("pieces", ["whole", "byte by byte"])
def test_a_proxy_header_names_the_client_of_the_connection(
    context: Serve, header: bytes, client: str, options: tuple[str, ...], pieces: str
) -> None:
    """The header counts for all requests, and for one that arrives with it."""
    server = context("--proxy-protocol", *options)
    data = header + REQUEST * 2
    with server.connect() as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in [data] if pieces == "whole" else [data[at : at + 1] for at in range(len(data))]:
            connection.send(piece)
        for number in (1, 2):
            assert connection.read_response().content == CONTENT
            assert logged(server, "GET", count=number)["client"] == client


@pytest.mark.parametrize(
    ("header", "client"),
    [(LINE, "198.51.100.7"), (BLOCK, "198.51.100.7"), (LOCAL, "127.0.0.1"), (b"PROXY UNKNOWN\r\n", "127.0.0.1")],
)
def test_a_client_that_a_proxy_header_names_is_not_trusted_to_name_others(
    context: Serve, header: bytes, client: str
) -> None:
    """A proxy that forwards a connection as it is has not checked its requests."""
    server = context("--proxy-protocol", *TRUSTED)
    with server.connect() as connection:
        connection.send(header)
        connection.get("/a.bin", "X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6")
        assert connection.read_response().content == CONTENT
    assert logged(server, "GET")["client"] == client


def test_a_trusted_proxy_that_a_header_names_may_name_the_client(context: Serve) -> None:
    server = context("--proxy-protocol", *TRUSTED)
    with server.connect() as connection:
        connection.send(b"PROXY TCP4 127.0.0.9 127.0.0.1 1 2\r\n")
        connection.get("/a.bin", "X-Forwarded-For: 6.6.6.6, 198.51.100.7")
        assert connection.read_response().content == CONTENT
    assert logged(server, "GET")["client"] == "198.51.100.7"


@pytest.mark.parametrize(
    "data",
    [REQUEST, b"PROXY TCP4 198.51.100.7 192.0.2.2 4711 99999\r\n" + REQUEST, BLOCK[:12] + b"\x31" + BLOCK[13:], b"G"],
    ids=["a request", "a bad port", "another version", "one byte"],
)
def test_what_does_not_begin_with_a_header_gets_no_service(context: Serve, data: bytes) -> None:
    """Section 2: the receiver must not guess. There is no answer, as the peer may not speak HTTP."""
    server = context("--proxy-protocol")
    with server.connect() as connection:
        connection.send(data)
        assert received(connection.socket) == b""
    entry = logged(server, "proxy-header-failed")
    assert (entry["status"], entry["client"], entry["method"], entry["target"]) == (0, "127.0.0.1", "-", "-")
    assert (entry["sent"], entry["promised"]) == (0, 0)


def test_a_header_from_an_untrusted_peer_is_not_believed(context: Serve) -> None:
    """Section 2: only trusted proxies may use it; other peers get no service."""
    server = context("--proxy-protocol", *STRANGERS)
    with server.connect() as connection:
        connection.send(LINE + REQUEST)
        assert received(connection.socket) == b""
    assert logged(server, "proxy-header-failed")["client"] == "127.0.0.1"


@pytest.mark.parametrize("begun", [LINE[:-1], BLOCK[:14], SIGNATURE[:1]])
def test_a_stalled_header_ends_the_connection(context: Serve, begun: bytes) -> None:
    server = context("--proxy-protocol")
    with server.connect() as connection:
        connection.send(begun)
        assert received(connection.socket) == b""
    assert logged(server, "proxy-header-failed")["status"] == 0


def test_a_header_cut_off_by_its_sender_ends_the_connection(context: Serve) -> None:
    server = context("--proxy-protocol")
    with server.connect() as connection:
        connection.send(LINE[:20])
        connection.socket.shutdown(socket.SHUT_WR)
        assert received(connection.socket) == b""
    assert logged(server, "proxy-header-failed")["status"] == 0


def test_a_connection_that_sends_nothing_is_not_logged(serve: Serve, root: Path) -> None:
    """A load balancer checks the port every second."""
    server = serve(root, *IMPATIENT, "--proxy-protocol")
    server.connect().socket.close()
    with server.connect() as silent:
        assert received(silent.socket) == b""
    with server.connect() as connection:
        connection.send(LINE + REQUEST)
        assert connection.read_response().content == CONTENT
    logged(server, "GET")
    assert len(server.log) == 1


def test_a_connection_without_a_header_does_not_delay_the_end(serve: Serve, root: Path) -> None:
    server = serve(root, "--proxy-protocol", "--shutdown-timeout", "1h", "--idle-timeout", "1h")
    with server.connect() as silent, server.connect() as kept:
        kept.send(LINE + REQUEST)
        kept.read_response()
        server.signal()
        assert silent.read_to_end() == kept.read_to_end() == b""
    assert server.wait() == 0


def test_a_client_of_ip_version_4_is_one_at_a_socket_of_both_versions(serve: Serve, root: Path) -> None:
    try:
        server = serve(root, *IMPATIENT, *TRUSTED, host="::")
    except AssertionError:
        pytest.skip("this machine has no IPv6")
    for fields, client in (("", "127.0.0.1"), ("X-Forwarded-For: 198.51.100.7\r\n", "198.51.100.7")):
        with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
            connection.sendall(b"HEAD /a.bin HTTP/1.0\r\n" + fields.encode() + b"\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        server.wait_for_log(f'"client": "{client}"')


def test_clients_of_one_ipv6_network_share_their_limit_and_those_of_another_have_their_own(
    serve: Serve, huge: Path
) -> None:
    """The first 64 bits of an address are the key, whatever protocol the proxy speaks, and whichever way it says so."""
    limits = ("--max-per-client", "1", "--queue-size", "1", "--queue-timeout", "1s")
    server = serve(huge, *limits, "--trusted-proxy", "127.0.0.1")
    with server.start_download("/", "X-Forwarded-For: 2001:db8::1"):
        assert server.get("/", "X-Forwarded-For: 2001:db8::2").status == 503
        with server.start_download("/", "X-Forwarded-For: 2001:db8:0:1::2"):
            pass
        with Http2Client(server) as proxy:
            assert proxy.get("/", ("x-forwarded-for", "2001:db8::3")).status == 503
    server = serve(huge, *limits, "--proxy-protocol")
    with server.connect(64 * 1024) as first, server.connect() as second:
        first.send(BLOCK_6 + REQUEST.replace(b"/a.bin", b"/"))
        assert first.read_head()[0] == 200
        second.send(BLOCK_6 + REQUEST.replace(b"/a.bin", b"/"))
        assert second.read_response().status == 503


@pytest.mark.needs("curl")
def test_curl_as_a_proxy_names_its_own_address(context: Serve, tmp_path: Path) -> None:
    server = context("--proxy-protocol", *TRUSTED)
    url = f"http://127.0.0.1:{server.port}/a.bin"
    curl = ("curl", "-q", "-sS", "--noproxy", "*", "--max-time", "30", "--interface", "127.0.0.5", "-o", "got")
    subprocess.run([*curl, "--haproxy-protocol", url, url], cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert logged(server, "GET", count=2)["client"] == "127.0.0.5"
    assert subprocess.run([*curl, url], cwd=tmp_path, timeout=60).returncode in (52, 56)  # nothing came, or a reset


@pytest.mark.needs("curl")
def test_curl_as_a_proxy_names_another_address(context: Serve, tmp_path: Path) -> None:
    known = run("curl", "--help", "all").stdout
    if "--haproxy-clientip" not in known:
        pytest.skip("this curl has no --haproxy-clientip")
    server = context("--proxy-protocol", *TRUSTED)
    curl = ("curl", "-q", "-sS", "--noproxy", "*", "--max-time", "30", "-o", "got")
    url = f"http://127.0.0.1:{server.port}/a.bin"
    subprocess.run([*curl, "--haproxy-clientip", "198.51.100.7", url], cwd=tmp_path, check=True, timeout=60)
    assert logged(server, "GET")["client"] == "198.51.100.7"


LOCATIONS = """
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header Forwarded "";
        }}
        location /prefix/ {{
            proxy_pass http://127.0.0.1:{upstream}/;
        }}"""


@pytest.fixture
def proxied(tmp_path: Path, clients: ExitStack) -> Callable[[ServerProcess], int]:
    """Start nginx in front of a server as docs/how-to/behind-a-proxy.md says. Return its port."""

    def start(server: ServerProcess) -> int:
        return clients.enter_context(nginx(tmp_path / "nginx", LOCATIONS.format(upstream=server.port)))

    return start


@pytest.mark.needs("nginx")
def test_behind_nginx_the_client_is_its_peer_whatever_it_writes_into_either_field(
    context: Serve, proxied: Callable[[ServerProcess], int]
) -> None:
    server = context("--trusted-proxy", "127.0.0.1")
    port = proxied(server)
    with socket.create_connection(("127.0.0.1", port), 20, ("127.0.0.5", 0)) as connection:
        connection.sendall(
            b"GET /a.bin HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n"
            b"Connection: close\r\n\r\n"
        )
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert answer.endswith(CONTENT)
    assert logged(server, "GET")["client"] == "127.0.0.5"


@pytest.mark.needs("nginx")
@pytest.mark.needs("curl")
@pytest.mark.parametrize("target", ["sub", "sub/a:b", "sub/../sub/a:b"])
def test_a_redirect_is_right_behind_nginx_that_strips_a_prefix(
    context: Serve, proxied: Callable[[ServerProcess], int], tmp_path: Path, target: str
) -> None:
    url = f"http://127.0.0.1:{proxied(context())}/prefix/{target}"
    said = ("-w", "%{http_code} %{num_redirects} %{url_effective}", "-o", "got")
    ended = run(
        "curl", "-q", "-sS", "--noproxy", "*", "--path-as-is", "-L", "--max-time", "30", *said, url, cwd=tmp_path
    )
    assert ended.stdout.split() == ["200", "1", f"{url}/"]
