"""Exchanges over real sockets: one after another, in any pieces, and what each does to its connection."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from support.servers import Client, Serve, ServerProcess

CONTENT = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Start a server for all tests here, since none changes it."""
    root = tmp_path_factory.mktemp("site")
    (root / "a.bin").write_bytes(CONTENT)
    (root / "b.bin").write_bytes(CONTENT[::-1])
    (root / "empty.bin").write_bytes(b"")
    with closing(ServerProcess((str(root), "--idle-timeout", "1s", "--keep-alive-timeout", "1s"))) as served:
        yield served


@pytest.fixture
def context(shared: ServerProcess) -> ServerProcess:
    shared.clear_log_when_written()
    return shared


def ends(client: Client) -> bytes:
    """Return what arrives until the orderly end of the stream."""
    return client.read_to_end()


PIPELINE = (
    b"GET /a.bin HTTP/1.1\r\nHost: x\r\n\r\n"
    b"HEAD /b.bin HTTP/1.1\r\nHost: x\r\n\r\n"
    b"GET /b.bin HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9\r\n\r\n"
)


def check_pipeline(client: Client) -> None:
    assert client.read_response().content == CONTENT
    assert client.read_response("HEAD").fields["content-length"] == str(len(CONTENT))
    last = client.read_response()
    assert (last.status, last.content) == (206, CONTENT[::-1][:10])


def test_three_requests_in_one_packet_are_answered_in_their_order(context: ServerProcess) -> None:
    with context.connect() as client:
        client.send(PIPELINE)
        check_pipeline(client)


def test_requests_that_come_one_byte_at_a_time_are_answered_alike(context: ServerProcess) -> None:
    with context.connect() as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in PIPELINE:
            client.send(bytes((byte,)))
        check_pipeline(client)


def test_a_pipeline_of_many_requests_gets_as_many_answers(context: ServerProcess) -> None:
    with context.connect() as client:
        client.send(b"GET /a.bin HTTP/1.1\r\nHost: x\r\nRange: bytes=5-6\r\n\r\n" * 300)
        for _ in range(300):
            assert client.read_response().content == CONTENT[5:7]


def test_a_client_with_pipelined_requests_does_not_go_before_all_others(context: ServerProcess) -> None:
    """A client whose next request is always there would otherwise be the only one that is served."""
    part = b" HTTP/1.1\r\nHost: x\r\nRange: bytes=5-6\r\n\r\n"
    context.signal(signal.SIGSTOP)
    try:
        with context.connect() as one, context.connect() as other:
            one.send((b"GET /a.bin" + part) * 250)
            other.send((b"GET /b.bin" + part) * 250)
            context.signal(signal.SIGCONT)
            with ThreadPoolExecutor(2) as pool:  # an answer is logged when its client has acknowledged it
                list(pool.map(lambda client: [client.read_response() for _ in range(250)], (one, other)))
            context.wait_for_log("GET", count=500)
    finally:
        context.signal(signal.SIGCONT)
    first = context.log[:250]
    assert min(sum(name in line for line in first) for name in ("/a.bin", "/b.bin")) > 50


@pytest.mark.parametrize(
    ("version", "field", "stays"),
    [
        ("1.1", "Accept: */*", True),
        ("1.1", "Connection: close", False),
        ("1.0", "Accept: */*", False),
        ("1.0", "Connection: keep-alive", True),
    ],
)
def test_a_connection_stays_where_its_version_and_its_client_want_it_to(
    context: ServerProcess, version: str, field: str, stays: bool
) -> None:
    """RFC 9112 section 9.3: HTTP/1.1 persists unless told not to, HTTP/1.0 only when asked to."""
    with context.connect() as client:
        client.get("/a.bin", field, version=version)
        answer = client.read_response()
        assert answer.content == CONTENT
        assert (answer.fields.get("connection") == "close") is not stays
        if stays:
            client.get("/b.bin", field, version=version)
            assert client.read_response().content == CONTENT[::-1]
        else:
            assert ends(client) == b""


@pytest.mark.parametrize(
    ("method", "target", "fields", "status"),
    [
        ("HEAD", "/a.bin", (), 200),
        ("HEAD", "/", (), 200),
        ("HEAD", "/nothing", (), 404),
        ("OPTIONS", "*", (), 204),
        ("OPTIONS", "/a.bin", (), 204),
        ("GET", "/a.bin", ("If-None-Match: *",), 304),
        ("GET", "/a.bin", ('If-Match: "other"',), 412),
        ("GET", "/a.bin", ("Range: bytes=99999999-",), 416),
        ("GET", "/empty.bin", (), 200),
        ("POST", "/a.bin", (), 405),
        ("GET", "/nothing", (), 404),
    ],
)
def test_whatever_was_answered_the_next_answer_begins_where_it_should(
    context: ServerProcess, method: str, target: str, fields: tuple[str, ...], status: int
) -> None:
    """RFC 9112 section 6.3: the next answer is found by this one's framing; HEAD, 204 and 304 have no content."""
    with context.connect() as client:
        client.get(target, *fields, method=method)
        assert client.read_response(method).status == status
        client.get("/b.bin")
        assert client.read_response().content == CONTENT[::-1]


@pytest.mark.parametrize(
    "content",
    [
        b"Content-Length: 26\r\n\r\nGET /a.bin HTTP/1.1\r\n\r\n 26.",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n3;x=y\r\nfgh\r\n0\r\nTrailer: 1\r\n\r\n",
    ],
)
@pytest.mark.parametrize("pieces", [1, 2])
def test_the_content_of_a_request_is_discarded(context: ServerProcess, content: bytes, pieces: int) -> None:
    request = b"GET /a.bin HTTP/1.1\r\nHost: x\r\n" + content
    if b"26" in content:
        request = request.replace(b"26\r\n", b"%d\r\n" % (len(content) - len(b"Content-Length: 26\r\n\r\n")))
    with context.connect() as client:
        if pieces == 1:
            client.send(request)
            assert client.read_response().content == CONTENT
        else:
            cut = request.index(b"\r\n\r\n") + 6
            client.send(request[:cut])
            assert client.read_response().content == CONTENT  # before the content has arrived
            client.send(request[cut:])
        client.get("/b.bin")
        assert client.read_response().content == CONTENT[::-1]


def test_a_client_that_expects_100_gets_the_final_answer_and_may_keep_its_content(context: ServerProcess) -> None:
    """RFC 9110 section 10.1.1: a final answer instead of 100; it is the last, as content may or may not follow."""
    with context.connect() as client:
        client.get("/a.bin", "Content-Length: 1000000", "Expect: 100-continue", method="PUT")
        assert client.read_response().status in (405, 413)
        assert ends(client) == b""


def test_an_expectation_of_100_without_content_changes_nothing(context: ServerProcess) -> None:
    with context.connect() as client:
        client.get("/a.bin", "Expect: 100-continue")
        assert client.read_response().content == CONTENT
        client.get("/b.bin")
        assert client.read_response().content == CONTENT[::-1]


def test_a_client_that_has_shut_its_sending_side_still_gets_its_answers(context: ServerProcess) -> None:
    """The connection is half-closed, and not at its end."""
    with context.connect() as client:
        client.send(PIPELINE)
        client.socket.shutdown(socket.SHUT_WR)
        check_pipeline(client)
        assert ends(client) == b""


def test_an_idle_connection_is_closed_without_an_answer(context: ServerProcess) -> None:
    with context.connect() as client:
        assert ends(client) == b""
    with context.connect() as client:
        client.get("/a.bin")
        client.read_response()
        assert ends(client) == b""


def test_a_connection_between_two_requests_outlives_the_idle_timeout(serve: Serve, tmp_path: Path) -> None:
    """A load balancer keeps it for 60 s, and must be the one that closes it: else its next request has no answer."""
    (tmp_path / "a.bin").write_bytes(CONTENT)
    server = serve(tmp_path, "--idle-timeout", "1s", "--keep-alive-timeout", "1h")
    with server.connect() as kept:
        kept.get("/a.bin")
        assert kept.read_response().content == CONTENT
        with server.connect() as silent:
            assert ends(silent) == b""  # it has sent no request, and so has the idle timeout
        kept.get("/a.bin")
        assert kept.read_response().content == CONTENT


def test_a_connection_that_idles_after_request_content_is_closed_without_an_answer(context: ServerProcess) -> None:
    """408 is for a request of which a part has arrived."""
    with context.connect() as client:
        client.send(b"GET /a.bin HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
        assert client.read_response().content == CONTENT
        client.send(b"12345")
        assert ends(client) == b""


@pytest.mark.parametrize("head", [b"G", b"GET /a.bin HTTP/1.1\r\nHost: x\r\nA"])
def test_a_stalled_head_is_answered_408(context: ServerProcess, head: bytes) -> None:
    with context.connect() as client:
        client.send(head)
        answer = client.read_response()
        assert (answer.status, answer.fields["connection"]) == (408, "close")
        assert ends(client) == b""
    assert " 408 " in context.wait_for_log("refused")


def test_a_slow_head_is_answered_408_however_steadily_it_arrives(context: ServerProcess) -> None:
    with context.connect() as client:
        client.send(b"GET / HTTP/1.1\r\n")
        client.socket.settimeout(0.1)
        received = b""
        for _ in range(200):
            try:
                received = client.socket.recv(4096)
                break
            except TimeoutError:
                client.send(b"a")
        assert received.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
    ],
)
def test_a_refusal_arrives_whole_whatever_the_client_goes_on_to_send(
    context: ServerProcess, request_bytes: bytes
) -> None:
    """RFC 9112 section 9.6: a close with bytes unread would be a reset, which takes the answer away."""
    with context.connect() as client:
        client.send(request_bytes + b"x" * 200_000)
        answer = client.read_response()
        assert (answer.status, answer.fields["connection"]) == (400, "close")
        client.socket.shutdown(socket.SHUT_WR)
        assert ends(client) == b""


def test_an_empty_line_before_a_request_is_ignored(context: ServerProcess) -> None:
    with context.connect() as client:
        client.send(b"\r\n")
        client.get("/a.bin")
        assert client.read_response().content == CONTENT


def test_an_address_of_ip_version_6_is_served_and_printed_in_brackets(tmp_path: Path, serve: Serve) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no ::1")
    (tmp_path / "a.bin").write_bytes(CONTENT)
    server = serve(tmp_path, host="::1")
    assert f"http://[::1]:{server.port}/" in server.line
    assert server.get("/a.bin").content == CONTENT
    assert server.wait_for_log("GET /a.bin").split()[1] == "::1"
