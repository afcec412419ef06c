"""Behind a proxy, over real sockets: who the log says the client is, and who gets no service."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from processes import running
from serving import Served, find_program, until

Serve = Callable[..., Served]

CONTENT = bytes(range(256)) * 40
TRUSTED = ("--trusted-proxy", "127.0.0.0/8")
STRANGERS = ("--trusted-proxy", "192.0.2.0/24")  # nobody on this machine is one of these
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
    return root


@pytest.fixture(scope="module")
def shared() -> Iterator[dict[tuple[str, ...], Served]]:
    """Servers by their options, each for all tests here that ask for these."""
    servers: dict[tuple[str, ...], Served] = {}
    yield servers
    with ExitStack() as stack:
        for server in servers.values():
            stack.callback(server.close)


@pytest.fixture
def house(root: Path, shared: dict[tuple[str, ...], Served]) -> Callable[..., Served]:
    """A server with these options that waits a second for anything, and has logged nothing."""

    def find(*options: str) -> Served:
        if options not in shared:
            shared[options] = Served((str(root), *IMPATIENT, *options), "127.0.0.1", None, None)
        elif "--proxy-protocol" in options:
            forget(shared[options])
        else:
            shared[options].forget()
        return shared[options]

    return find


def forget(server: Served) -> None:
    """:meth:`Served.forget` of one that wants a header: what begins with none is logged too."""
    before = sum("not-proxied" in line for line in server.log)
    with server.connect() as connection:
        connection.send(b"no header\r\n\r\n")
        assert received(connection.socket) == b""
    server.await_log("not-proxied", count=before + 1)
    server.forget_log()


def logged(server: Served, *words: str, count: int = 1) -> dict[str, object]:
    """The entry of the log line that has these words."""
    entry: dict[str, object] = json.loads(server.await_log(*words, count=count))
    return entry


def received(connection: socket.socket) -> bytes:
    """What comes until the end, orderly or by reset: a close with bytes unread is one."""
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
def test_a_trusted_proxy_says_who_the_client_is(
    house: Callable[..., Served], fields: tuple[str, ...], client: str
) -> None:
    server = house(*TRUSTED)
    assert server.get("/a.bin", *fields).content == CONTENT
    assert logged(server, "GET")["client"] == client


@pytest.mark.parametrize("options", [(), STRANGERS])
def test_anybody_else_says_nothing_about_clients(house: Callable[..., Served], options: tuple[str, ...]) -> None:
    server = house(*options)
    assert server.get("/a.bin", "X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6").content == CONTENT
    assert logged(server, "GET")["client"] == "127.0.0.1"


def test_each_request_of_a_connection_has_its_own_client(house: Callable[..., Served]) -> None:
    """A proxy uses one connection for many; what was not read as a request is the proxy's own."""
    server = house(*TRUSTED)
    with server.connect() as client:
        for number in (1, 2):
            client.get("/a.bin", f"X-Forwarded-For: 198.51.100.{number}")
            assert client.answer().content == CONTENT
        client.get("/a.bin")
        assert client.answer().content == CONTENT
        client.send(b"nonsense\r\n\r\n")
        assert client.answer().status == 400
    assert [logged(server, '"client"', count=number)["client"] for number in (1, 2, 3, 4)] == [
        "198.51.100.1",
        "198.51.100.2",
        "127.0.0.1",
        "127.0.0.1",
    ]


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
def test_a_header_says_whose_a_connection_is(
    house: Callable[..., Served], header: bytes, client: str, options: tuple[str, ...], pieces: str
) -> None:
    """Of all its requests, and in front of any that came with it."""
    server = house("--proxy-protocol", *options)
    data = header + REQUEST * 2
    with server.connect() as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in [data] if pieces == "whole" else [data[at : at + 1] for at in range(len(data))]:
            connection.send(piece)
        for number in (1, 2):
            assert connection.answer().content == CONTENT
            assert logged(server, "GET", count=number)["client"] == client


@pytest.mark.parametrize(
    ("header", "client"),
    [(LINE, "198.51.100.7"), (BLOCK, "198.51.100.7"), (LOCAL, "127.0.0.1"), (b"PROXY UNKNOWN\r\n", "127.0.0.1")],
)
def test_a_client_that_came_through_a_header_is_not_believed_about_others(
    house: Callable[..., Served], header: bytes, client: str
) -> None:
    """Whoever passes a connection on as it is has not looked into its requests."""
    server = house("--proxy-protocol", *TRUSTED)
    with server.connect() as connection:
        connection.send(header)
        connection.get("/a.bin", "X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6")
        assert connection.answer().content == CONTENT
    assert logged(server, "GET")["client"] == client


def test_a_trusted_proxy_behind_a_header_says_who_the_client_is(house: Callable[..., Served]) -> None:
    server = house("--proxy-protocol", *TRUSTED)
    with server.connect() as connection:
        connection.send(b"PROXY TCP4 127.0.0.9 127.0.0.1 1 2\r\n")
        connection.get("/a.bin", "X-Forwarded-For: 6.6.6.6, 198.51.100.7")
        assert connection.answer().content == CONTENT
    assert logged(server, "GET")["client"] == "198.51.100.7"


@pytest.mark.parametrize(
    "data",
    [REQUEST, b"PROXY TCP4 198.51.100.7 192.0.2.2 4711 99999\r\n" + REQUEST, BLOCK[:12] + b"\x31" + BLOCK[13:], b"G"],
    ids=["a request", "a bad port", "another version", "one byte"],
)
def test_what_does_not_begin_with_a_header_gets_no_service(house: Callable[..., Served], data: bytes) -> None:
    """Section 2: not to guess. No answer either: nobody knows whether it is HTTP."""
    server = house("--proxy-protocol")
    with server.connect() as connection:
        connection.send(data)
        assert received(connection.socket) == b""
    entry = logged(server, "not-proxied")
    assert (entry["status"], entry["client"], entry["method"], entry["target"]) == (0, "127.0.0.1", "-", "-")
    assert (entry["sent"], entry["promised"]) == (0, 0)


def test_a_header_from_a_stranger_is_not_believed(house: Callable[..., Served]) -> None:
    """Section 2: only trusted proxies may use it; the rest gets no service."""
    server = house("--proxy-protocol", *STRANGERS)
    with server.connect() as connection:
        connection.send(LINE + REQUEST)
        assert received(connection.socket) == b""
    assert logged(server, "not-proxied")["client"] == "127.0.0.1"


@pytest.mark.parametrize("begun", [LINE[:-1], BLOCK[:14], SIGNATURE[:1]])
def test_a_header_that_stands_still_ends_the_connection(house: Callable[..., Served], begun: bytes) -> None:
    server = house("--proxy-protocol")
    with server.connect() as connection:
        connection.send(begun)
        assert received(connection.socket) == b""
    assert logged(server, "not-proxied")["status"] == 0


def test_a_header_cut_off_by_its_sender_ends_the_connection(house: Callable[..., Served]) -> None:
    server = house("--proxy-protocol")
    with server.connect() as connection:
        connection.send(LINE[:20])
        connection.socket.shutdown(socket.SHUT_WR)
        assert received(connection.socket) == b""
    assert logged(server, "not-proxied")["status"] == 0


def test_a_port_that_is_only_knocked_at_says_nothing_in_the_log(serve: Serve, root: Path) -> None:
    """A check of a load balancer, every second."""
    server = serve(root, *IMPATIENT, "--proxy-protocol")
    server.connect().socket.close()
    with server.connect() as silent:
        assert received(silent.socket) == b""
    with server.connect() as connection:
        connection.send(LINE + REQUEST)
        assert connection.answer().content == CONTENT
    logged(server, "GET")
    assert len(server.log) == 1


def test_who_has_sent_no_header_does_not_delay_the_end(serve: Serve, root: Path) -> None:
    server = serve(root, "--proxy-protocol", "--drain", "1h", "--idle-timeout", "1h")
    with server.connect() as silent, server.connect() as kept:
        kept.send(LINE + REQUEST)
        kept.answer()
        server.signal()
        assert silent.rest() == kept.rest() == b""
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
        server.await_log(f'"client": "{client}"')


@pytest.mark.needs("curl")
def test_curl_as_a_proxy_names_its_own_address(house: Callable[..., Served], tmp_path: Path) -> None:
    server = house("--proxy-protocol", *TRUSTED)
    url = f"http://127.0.0.1:{server.port}/a.bin"
    curl = ("curl", "-q", "-sS", "--noproxy", "*", "--max-time", "30", "--interface", "127.0.0.5", "-o", "got")
    subprocess.run([*curl, "--haproxy-protocol", url, url], cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert logged(server, "GET", count=2)["client"] == "127.0.0.5"
    assert subprocess.run([*curl, url], cwd=tmp_path, timeout=60).returncode in (52, 56)  # nothing came, or a reset


@pytest.mark.needs("curl")
def test_curl_as_a_proxy_names_another_address(house: Callable[..., Served], tmp_path: Path) -> None:
    known = subprocess.run(["curl", "--help", "all"], capture_output=True, text=True, timeout=60).stdout
    if "--haproxy-clientip" not in known:
        pytest.skip("this curl has no --haproxy-clientip")
    server = house("--proxy-protocol", *TRUSTED)
    curl = ("curl", "-q", "-sS", "--noproxy", "*", "--max-time", "30", "-o", "got")
    url = f"http://127.0.0.1:{server.port}/a.bin"
    subprocess.run([*curl, "--haproxy-clientip", "198.51.100.7", url], cwd=tmp_path, check=True, timeout=60)
    assert logged(server, "GET")["client"] == "198.51.100.7"


NGINX = """
daemon off; pid {here}/pid; error_log {here}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {here}/1; proxy_temp_path {here}/2; fastcgi_temp_path {here}/3;
    uwsgi_temp_path {here}/4; scgi_temp_path {here}/5;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header Forwarded "";
        }}
    }}
}}
"""


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Callable[[Served], int]]:
    """Starts nginx in front of a server, set as docs/how-to/behind-a-proxy.md says; its port."""
    started = ExitStack()

    def start(server: Served) -> int:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port: int = taken.getsockname()[1]
        here = tmp_path / "nginx"
        here.mkdir()
        (here / "conf").write_text(NGINX.format(here=here, port=port, upstream=server.port))
        program = find_program("nginx")
        assert program is not None
        command = [program, "-p", str(here), "-c", str(here / "conf"), "-e", str(here / "error.log")]
        started.enter_context(running(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        until(lambda: accepts(port), "nginx listens")
        return port

    with started:
        yield start


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


@pytest.mark.needs("nginx")
def test_who_asks_nginx_is_the_client_whatever_it_writes_into_either_field(
    house: Callable[..., Served], nginx: Callable[[Served], int]
) -> None:
    server = house("--trusted-proxy", "127.0.0.1")
    port = nginx(server)
    with socket.create_connection(("127.0.0.1", port), 20, ("127.0.0.5", 0)) as connection:
        connection.sendall(
            b"GET /a.bin HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n"
            b"Connection: close\r\n\r\n"
        )
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert answer.endswith(CONTENT)
    assert logged(server, "GET")["client"] == "127.0.0.5"
