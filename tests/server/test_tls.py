"""HTTPS for its clients and its operator: handshakes, certificates, ends of connections, and refusals."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

import pytest

from support.certificates import KeyPair, make_key_pair, unverified_context, verified_context
from support.servers import HUGE_BYTES as SIZE
from support.servers import Client, Serve, ServerProcess, run_python, wait_until

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
STALLED_HANDSHAKES = 300  # several times as many as may shake hands at once in the default memory


def failure(*arguments: str) -> str:
    """Return the one line of a server that does not start."""
    ended = run_python("-m", "freight", "serve", "--port", "0", "--admin", "none", *arguments)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1 and not ended.stdout
    return ended.stderr


def strict(server: ServerProcess) -> ssl.SSLSocket:
    """Return a client that has requested a body without a length. It accepts only the end that TLS marks."""
    plain = socket.create_connection((server.host, server.port), 20)
    client = unverified_context().wrap_socket(plain, suppress_ragged_eofs=False)
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    return client


def drained(client: ssl.SSLSocket) -> int:
    return sum(iter(lambda: len(client.recv(1 << 18)), 0))


def fingerprint(client: Client) -> bytes:
    assert isinstance(client.socket, ssl.SSLSocket)
    return sha256(client.socket.getpeercert(binary_form=True) or b"").digest()


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_a_client_that_trusts_the_certificate_has_the_file(
    huge: Path, serve: Serve, pair: KeyPair, version: ssl.TLSVersion
) -> None:
    server = serve(huge, *pair.flags)
    context = verified_context(pair)
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["http/1.1"])
    with Client(server.host, server.port, tls=context) as client:
        assert isinstance(client.socket, ssl.SSLSocket)
        assert client.socket.selected_alpn_protocol() == "http/1.1"
        client.get("/", "Range: bytes=5-14")
        assert client.read_response().content == bytes(10)
        client.get("/")  # on the same connection
        assert len(client.read_response().content) == SIZE
    server.wait_for_log("GET /", f"{SIZE}/{SIZE}", "complete")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=str)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_older_versions_are_not_spoken(huge: Path, serve: Serve, pair: KeyPair, version: ssl.TLSVersion) -> None:
    server = serve(huge, *pair.flags)
    context = unverified_context(version)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        Client(server.host, server.port, tls=context)
    server.wait_for_log("- -", "tls-failed")


def test_a_connection_that_sends_nothing_is_not_logged(huge: Path, serve: Serve, pair: KeyPair) -> None:
    """Load balancers and probes connect and close, every few seconds."""
    server = serve(huge, *pair.flags)
    socket.create_connection((server.host, server.port), 20).close()
    with socket.create_connection((server.host, server.port), 20) as garbage:
        garbage.sendall(b"x")
        garbage.shutdown(socket.SHUT_WR)
        server.wait_for_log("- -", "tls-failed")
    with Client(server.host, server.port, tls=unverified_context()) as client:
        client.get("/none")
        client.read_response()
    server.wait_for_log("/none")
    assert sum("tls-failed" in line for line in server.log) == 1


@pytest.mark.parametrize("cipher", ["AES256-SHA", "ECDHE-ECDSA-AES256-SHA", "AES128-GCM-SHA256"])
def test_ciphers_without_forward_secrecy_or_authenticated_encryption_are_not_spoken(
    huge: Path, serve: Serve, pair: KeyPair, cipher: str
) -> None:
    server = serve(huge, *pair.flags)
    context = unverified_context(ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(cipher)
    with pytest.raises(ssl.SSLError):
        Client(server.host, server.port, tls=context)


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_a_session_is_resumed(huge: Path, serve: Serve, pair: KeyPair, version: ssl.TLSVersion) -> None:
    server = serve(huge, *pair.flags)
    context = unverified_context(version)
    with Client(server.host, server.port, tls=context) as first:
        first.get("/", "Range: bytes=0-9")
        first.read_response()
        assert isinstance(first.socket, ssl.SSLSocket)
        session = first.socket.session
    plain = socket.create_connection((server.host, server.port), 20)
    with context.wrap_socket(plain, server_hostname="localhost", session=session) as second:
        assert second.session_reused


def test_a_body_ends_with_a_close_notify_where_the_connection_does(huge: Path, serve: Serve, pair: KeyPair) -> None:
    """Without one, a client that knows no length cannot tell the end from a truncation (RFC 8446 section 6.1)."""
    server = serve(huge, "--chunked", *pair.flags)
    with strict(server) as client:
        assert drained(client) > SIZE  # an end without close_notify would raise


def test_a_body_that_is_cut_ends_by_reset_without_a_close_notify(huge: Path, serve: Serve, pair: KeyPair) -> None:
    """Python's ssl reports a reset as an end in violation of the protocol too; clients/test_https uses curl."""
    server = serve(huge, "--chunked", *pair.flags)
    with strict(server) as client:
        assert client.recv(1000)
        os.truncate(huge, 1_000_000)
        with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
            drained(client)
    assert server.wait_for_log("GET /").endswith((" changed", " short-read"))


def test_plain_http_to_the_port_of_https_is_answered_400(huge: Path, serve: Serve, pair: KeyPair) -> None:
    server = serve(huge, *pair.flags)
    with Client(server.host, server.port) as client:
        client.get("/")
        answer = client.read_response()
        assert (answer.status, answer.fields["connection"]) == (400, "close")
        assert b"speaks HTTPS" in answer.content
        assert client.read_to_end() == b""
    server.wait_for_log("- -", "400", "refused")


def test_tls_to_a_port_of_plain_http_fails_and_harms_nobody(huge: Path, serve: Serve) -> None:
    server = serve(huge)
    with pytest.raises(ssl.SSLError):
        Client(server.host, server.port, tls=unverified_context())
    assert server.get("/", "Range: bytes=0-9").content == bytes(10)


@pytest.mark.parametrize("nonsense", [b"\x16\x03\x01\xff\xff" + bytes(200), b"\0" * 500, os.urandom(300)])
def test_nonsense_for_a_handshake_ends_that_connection_only(
    huge: Path, serve: Serve, pair: KeyPair, nonsense: bytes
) -> None:
    server = serve(huge, *pair.flags, "--idle-timeout", "2s")
    with socket.create_connection((server.host, server.port), 20) as plain:
        plain.sendall(nonsense)
        plain.settimeout(20)
        try:
            while plain.recv(1000):
                pass
        except ConnectionResetError:
            pass
    assert server.get("/", "Range: bytes=0-9").content == bytes(10)


def test_slow_handshakes_block_no_other_client(huge: Path, serve: Serve, pair: KeyPair, clients: ExitStack) -> None:
    """Many more clients than may shake hands at once send half a message. They are evicted for one that sends all."""
    server = serve(huge, *pair.flags, admin=True)
    for _ in range(STALLED_HANDSHAKES):
        idle = clients.enter_context(socket.create_connection((server.host, server.port), 20))
        idle.sendall(b"\x16\x03\x01\x02\x00")
    assert server.get("/", "Range: bytes=0-9").content == bytes(10)
    assert server.gate()["running"] == 0


def test_a_handshake_that_is_not_finished_is_given_up(huge: Path, serve: Serve, pair: KeyPair) -> None:
    server = serve(huge, *pair.flags, "--idle-timeout", "1s")
    with socket.create_connection((server.host, server.port), 20) as idle:
        idle.settimeout(20)
        assert idle.recv(1) == b""


def test_sighup_loads_a_new_certificate_and_running_downloads_go_on(huge: Path, serve: Serve, tmp_path: Path) -> None:
    pair = make_key_pair(tmp_path, "old")
    server = serve(huge, *pair.flags)
    with server.start_download() as client:
        first, old = client.read_exactly(100_000), fingerprint(client)
        new = make_key_pair(tmp_path, "new", "rsa")
        new.cert.rename(pair.cert)
        new.key.rename(pair.key)
        server.signal(signal.SIGHUP)
        server.wait_for_log("certificate reloaded")
        with server.connect() as other:
            assert fingerprint(other) != old
        assert first + client.read_exactly(SIZE - 100_000) == bytes(SIZE)
        pair.key.write_text("nonsense")
        server.signal(signal.SIGHUP)
        assert "has no private key in PEM" in server.wait_for_log("certificate not reloaded")
        assert server.get("/", "Range: bytes=0-9").status == 206


def test_a_certificate_that_is_a_fifo_is_refused_on_reload_and_delays_nobody(
    huge: Path, serve: Serve, tmp_path: Path
) -> None:
    """Opening a FIFO waits for its writer, which would block the loop for ever."""
    pair = make_key_pair(tmp_path, "pair")
    server = serve(huge, *pair.flags)
    for path in (pair.cert, pair.key):
        kept = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        server.signal(signal.SIGHUP)
        server.wait_for_log(str(path), "FIFO")
        assert server.get("/", "Range: bytes=0-9").status == 206
        path.unlink()
        path.write_bytes(kept)
    server.signal()
    assert server.wait() == 0


def test_an_invalid_key_pair_is_named_at_the_start(huge: Path, tmp_path: Path) -> None:
    one, other = make_key_pair(tmp_path, "one"), make_key_pair(tmp_path, "other")
    locked, late = make_key_pair(tmp_path, "locked", passphrase="secret"), make_key_pair(tmp_path, "late", expired=True)
    flags = ("--tls-cert", str(one.cert), "--tls-key")
    assert f"tls-key: {other.key} is not the key of the certificate in {one.cert}" in failure(
        str(huge), *flags, str(other.key)
    )
    assert f"tls-key: {locked.key} needs a passphrase" in failure(str(huge), *locked.flags)
    assert f"tls-cert: the certificate in {late.cert} has expired" in failure(str(huge), *late.flags)
    assert f"tls-key: {one.cert} has no private key in PEM" in failure(str(huge), *flags, str(one.cert))
    assert "tls-key: cannot read /nowhere: No such file" in failure(str(huge), *flags, "/nowhere")
    assert "--tls-cert: needs --tls-key too" in failure(str(huge), "--tls-cert", str(one.cert))
    assert "--tls-self-signed makes a certificate of its own" in failure(str(huge), "--tls-self-signed", *one.flags)
    assert "--redirect-port: there is no HTTPS to redirect to" in failure(str(huge), "--redirect-port", "0")


def test_a_self_signed_certificate_is_shown_by_its_fingerprint(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--tls-self-signed")
    said = server.line_with("self-signed certificate, SHA-256 fingerprint ")
    with server.connect() as client:
        assert said.split()[-1] == fingerprint(client).hex(":").upper()
        client.get("/", "Range: bytes=0-9")
        assert client.read_response().content == bytes(10)


@pytest.mark.parametrize(
    ("target", "host", "status", "location"),
    [
        ("/a%20b?x=y", "example.org:8080", 308, "https://example.org:{port}/a%20b?x=y"),
        ("/", "[::1]", 308, "https://[::1]:{port}/"),
        ("//evil.example/x", "localhost", 308, "https://localhost:{port}//evil.example/x"),
        ("/", "exa%6dple.org", 400, None),
        ("/", "", 400, None),
        ("/", "a b", 400, None),
    ],
)
def test_plain_http_is_redirected_to_https(
    huge: Path, serve: Serve, pair: KeyPair, target: str, host: str, status: int, location: str | None
) -> None:
    server = serve(huge, *pair.flags, "--redirect-port", "0")
    port = server.port_with(" from http://")
    with Client(server.host, port, named=host) as client:
        client.get(target)
        answer = client.read_response()
        assert (answer.status, answer.fields["connection"]) == (status, "close")
        assert answer.fields.get("location") == (location and location.format(port=server.port))
        assert client.read_to_end() == b""


def test_a_proxy_header_comes_before_the_handshake(huge: Path, serve: Serve, pair: KeyPair) -> None:
    server = serve(huge, *pair.flags, "--proxy-protocol")
    with socket.create_connection((server.host, server.port), 20) as plain:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        spoken = unverified_context().wrap_bio(incoming, outgoing)
        with pytest.raises(ssl.SSLWantReadError):
            spoken.do_handshake()
        plain.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 443\r\n" + outgoing.read())  # in one packet
        while True:
            incoming.write(plain.recv(1 << 16))
            try:
                spoken.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
        spoken.write(b"GET / HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9\r\n\r\n")
        plain.sendall(outgoing.read())
        server.wait_for_log("192.0.2.7", "GET /", "206")


def test_the_status_names_the_protocol_of_a_download_and_copies_are_no_zero_copies(
    huge: Path, serve: Serve, pair: KeyPair
) -> None:
    server = serve(huge, *pair.flags, admin=True)
    with server.start_download() as client:
        client.read_exactly(100_000)
        (running,) = server.status()["transfers"]["running"]
        assert running["protocol"] == "http/1.1+tls"
        assert server.status()["transfers"]["zero_copy_bytes_total"] == 0
        client.read_exactly(SIZE - 100_000)
    server.wait_for_log("complete")
    transfers = server.status()["transfers"]
    assert (transfers["bytes_total"], transfers["zero_copy_bytes_total"]) == (SIZE, 0)


def test_a_server_that_stops_finishes_running_downloads(huge: Path, serve: Serve, pair: KeyPair) -> None:
    server = serve(huge, *pair.flags)
    with (
        server.start_download() as client,
        socket.create_connection((server.host, server.port), 20),
    ):  # and one in silence
        client.read_exactly(100_000)
        server.signal()
        assert len(client.read_exactly(SIZE - 100_000)) == SIZE - 100_000
    assert server.wait() == 0


def test_openssl_is_loaded_only_where_it_is_needed(huge: Path, serve: Serve, pair: KeyPair) -> None:
    clear, sealed = serve(huge), serve(huge, *pair.flags)
    loaded = [("libssl" in Path(f"/proc/{server.pid}/maps").read_text()) for server in (clear, sealed)]
    assert loaded == [False, True]


def test_closed_connections_leave_nothing_behind(huge: Path, serve: Serve, pair: KeyPair) -> None:
    server = serve(huge, *pair.flags)
    idle = server.descriptors()
    for _ in range(3):
        with server.start_download() as client:
            client.reset()
    wait_until(lambda: server.descriptors() == idle, "all descriptors are closed")
