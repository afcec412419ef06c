"""Requests that repeat a head but for its range: each is answered as a new one would be, byte for byte."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import freight
from freight.fileserver import FileServer
from freight.flow.transfers import MOST_AT_ONCE, SMALL_BYTES
from freight.server.known_heads import MAX_KNOWN
from support.access_files import ALICE, write_access_files
from support.certificates import KeyPair
from support.repeats import Asker, check_alike, content_of, status_of
from support.servers import Client, Serve, ServerProcess

KIB, MIB = 1024, 1024 * 1024
SIZE = 2 * MIB + 77
CONTENT = os.urandom(SIZE)
MTIME = 1_700_000_000
TAG = f'"{SIZE:x}-{MTIME * 10**9:x}"'
MODIFIED = "Tue, 14 Nov 2023 22:13:20 GMT"

RANGES = (
    "bytes=7-20",
    "bytes=0-0",
    f"bytes={SIZE - 1}-{SIZE - 1}",
    f"bytes={SIZE - 5}-{SIZE + 100}",
    f"bytes={SIZE - 5}-999999999999999",
    f"bytes={SIZE - 5}-9999999999999999999999999",
    f"bytes={SIZE}-{SIZE}",
    f"bytes={SIZE + 1}-{SIZE + 10}",
    "bytes=9-5",
    "bytes=007-20",
    "bytes=7-020",
    "bytes=00-0",
    "bytes=5-",
    "bytes=-5",
    "bytes=-",
    "bytes=",
    "bytes=0-4,9-12",
    "bytes=0-4, 5-9",
    "bytes=7-20 ",
    "bytes= 7-20",
    "bytes=+7-20",
    "bytes=\xb2-\xb3",
    "Bytes=7-20",
    "lines=7-20",
    *(f"bytes=3-{3 + size - 1}" for size in (SMALL_BYTES, SMALL_BYTES + 1, MOST_AT_ONCE, MOST_AT_ONCE + 1)),
    *(f"bytes=3-{3 + size - 1}" for size in (MIB, MIB + 1)),
    f"bytes=0-{SIZE - 1}",
)

FEW = ("bytes=7-20", "bytes=100-199", f"bytes=5-{5 + 100 * KIB}", f"bytes=5-{5 + 300 * KIB}", f"bytes={SIZE}-{SIZE}")


def ranged(*values: str, more: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the fields of a request for each of these ranges."""
    return [(*more, f"Range: {value}") for value in values]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory that no test changes."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "below").mkdir()
    for name in ("file.bin", "below/page.html", "table.csv", "table.csv.gz"):
        (folder / name).write_bytes(CONTENT)
        os.utime(folder / name, (MTIME, MTIME))
    (folder / "link.bin").symlink_to("below/page.html")
    return folder


@pytest.fixture(scope="module")
def shared(root: Path) -> Iterator[ServerProcess]:
    """Start a server for the tests that need no option."""
    with closing(ServerProcess((str(root),), admin=True)) as server:
        yield server


def test_most_repeats_are_answered_without_the_file_server(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other tests here compare the two ways, so there must be two."""
    asked: list[str] = []
    respond = FileServer.respond

    def counted(self: FileServer, *arguments: Any) -> object:
        asked.append(arguments[0].target)
        return respond(self, *arguments)

    monkeypatch.setattr(FileServer, "respond", counted)
    with freight.Server(root, port=0) as server, Client("127.0.0.1", server.port) as client:
        sizes = (14, SMALL_BYTES + 1, MOST_AT_ONCE + 1)
        for size in sizes * 10:
            client.get("/file.bin", f"Range: bytes=7-{6 + size}")
            assert client.read_response().content == CONTENT[7 : 7 + size]
    assert 0 < len(asked) < 10


@pytest.mark.parametrize(
    "spelling", ["Range: {}", "range: {}", "RANGE: {}", "rAnge: {}", "Range:{}", "Range:  {}", "Range: {}\t"]
)
def test_every_range_in_every_spelling(shared: ServerProcess, spelling: str) -> None:
    answers = check_alike(shared, "/file.bin", [(spelling.format(value),) for value in RANGES])
    statuses = [status_of(answer) for answer in answers]
    assert statuses.count(206) >= 10 and set(statuses) == {200, 206, 416}
    assert content_of(answers[0]) == CONTENT[7:21]


FIELDS: dict[str, tuple[str, ...]] = {
    "the tag": (f"If-Range: {TAG}",),
    "another tag": ('If-Range: "other"',),
    "a weak tag": (f"If-Range: W/{TAG}",),
    "the date": (f"If-Range: {MODIFIED}",),
    "another date": ("If-Range: Tue, 14 Nov 2023 22:13:21 GMT",),
    "none match": (f"If-None-Match: {TAG}",),
    "another matches": ('If-None-Match: "other"',),
    "match": (f"If-Match: {TAG}",),
    "no match": ('If-Match: "other"',),
    "modified since": ("If-Modified-Since: Mon, 13 Nov 2023 00:00:00 GMT",),
    "not modified since": (f"If-Modified-Since: {MODIFIED}",),
    "unmodified since": (f"If-Unmodified-Since: {MODIFIED}",),
    "close": ("Connection: close",),
    "keep-alive": ("Connection: keep-alive",),
    "codings": ("Accept-Encoding: gzip, br, zstd",),
    "types": ("Accept: text/html",),
    "origin": ("Origin: https://maps.example",),
    "another range": ("Range: bytes=0-1",),
    "a name with its end": ("X-Orange: bytes=1-2",),
    "no content": ("Content-Length: 0",),
    "an expectation": ("Expect: 100-continue",),
    "another expectation": ("Expect: wonders",),
    "priority": ("Priority: u=7, i",),
    "credentials": (ALICE,),
    "of 900 bytes": ("X-Long: " + "a" * 900,),
    "of 2 KiB": ("X-Long: " + "a" * 2048,),
}


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("kind", FIELDS)
def test_with_another_field_before_or_after_it(shared: ServerProcess, kind: str, version: str) -> None:
    more = FIELDS[kind]
    check_alike(shared, "/file.bin", ranged(*FEW, more=more), version)
    check_alike(shared, "/file.bin", [(f"Range: {value}", *more) for value in FEW], version)


def test_in_http_1_0_that_stays_connected(shared: ServerProcess) -> None:
    answers = check_alike(shared, "/file.bin", ranged(*RANGES, more=("Connection: keep-alive",)), "1.0")
    assert b"\r\nConnection: keep-alive\r\n" in answers[0]


@pytest.mark.parametrize("target", ["/link.bin", "/below/../file.bin", "/file.bin?a=%25d", "/FILE.bin", "/", "/below"])
def test_of_other_targets(shared: ServerProcess, target: str) -> None:
    check_alike(shared, target, ranged(*FEW))


def test_with_other_methods_only_a_get_has_content(shared: ServerProcess) -> None:
    with shared.connect() as client:
        for method, status in (("GET", 206), ("HEAD", 206), ("POST", 405), ("GET", 206), ("OPTIONS", 204)) * 2:
            client.get("/file.bin", "Range: bytes=7-20", method=method)
            response = client.read_response(method)
            assert (response.status in (200, status)) and (method != "GET" or response.content == CONTENT[7:21])


class Site(NamedTuple):
    """Options of a server, what is asked, and with which fields."""

    options: tuple[str, ...] = ()
    target: str = "/file.bin"
    more: tuple[str, ...] = ()
    status: int = 206


RULES = """\
[[rule]]
match = "/below/**"
headers = { X-Robots-Tag = "noindex", "X-100%d" = "100%s" }
cache_control = "public, max-age=60"
content_type = "application/x-thing"
disposition = "inline"
"""

SITES = {
    "rules": Site(("--config", "RULES"), "/below/page.html"),
    "rules for others": Site(("--config", "RULES")),
    "headers": Site(("--header", "X-100%d: 100%s", "--header", "X-Content-Length: 14", "--cache-control", "no-cache")),
    "inline": Site(("--inline",), "/below/page.html"),
    "an origin": Site(("--cors-origin", "https://a.example"), more=("Origin: https://a.example",)),
    "another origin": Site(("--cors-origin", "https://a.example"), more=("Origin: https://b.example",)),
    "no origin": Site(("--cors-origin", "https://a.example")),
    "every origin": Site(("--cors-origin", "*"), more=("Origin: https://b.example",)),
    "prefix": Site(("--prefix", "/a/b"), "/a/b/file.bin"),
    "outside of the prefix": Site(("--prefix", "/a/b"), status=404),
    "mount": Site(("--mount", "/m=BELOW"), "/m/page.html"),
    "beside a mount": Site(("--mount", "/m=BELOW")),
    "chunked": Site(("--chunked",), status=200),
    "compressed": Site(("--precompressed",), "/table.csv", ("Accept-Encoding: gzip",)),
    "not compressed": Site(("--precompressed",), "/table.csv"),
    "users": Site(("USERS",), more=(ALICE,)),
    "users, without credentials": Site(("USERS",), status=401),
    "json": Site(("--log-format", "json"), more=("User-Agent: a", "Referer: https://r.example/")),
    "combined": Site(("--log-format", "combined"), more=("User-Agent: a", "Referer: https://r.example/")),
    "tls": Site(("--tls-self-signed",)),
    "tls, json": Site(("--tls-self-signed", "--log-format", "json")),
    "a limited rate": Site(("--rate-limit", "1GB/s")),
    "a limited rate per client": Site(("--client-rate-limit", "1GB/s")),
    "one download per client": Site(("--max-per-client", "1")),
    "two workers": Site(("--workers", "2")),
    "a proxy": Site(("--trusted-proxy", "127.0.0.1"), more=("X-Forwarded-For: 192.0.2.7",)),
    "not the proxy": Site(("--trusted-proxy", "192.0.2.1"), more=("X-Forwarded-For: 192.0.2.7",)),
    "no links": Site(("--no-follow-symlinks",), "/link.bin", status=404),
    "the least memory": Site(("--memory", "192KiB")),
}


def options_of(site: Site, root: Path, tmp_path: Path) -> list[str]:
    """Return the options with the names of files in them."""
    (tmp_path / "rules.toml").write_text(RULES)
    options: list[str] = []
    for word in site.options:
        if word == "USERS":
            options += write_access_files(tmp_path)
        else:
            options.append(word.replace("RULES", str(tmp_path / "rules.toml")).replace("BELOW", str(root / "below")))
    return options


@pytest.mark.parametrize("name", SITES)
def test_whatever_the_server_is_set_to(serve: Serve, root: Path, tmp_path: Path, name: str) -> None:
    site = SITES[name]
    server = serve(root, *options_of(site, root, tmp_path))
    answers = check_alike(server, site.target, ranged(*FEW, more=site.more))
    assert status_of(answers[0]) == site.status


def test_of_a_single_file(serve: Serve, root: Path) -> None:
    server = serve(root / "file.bin")
    for target in ("/", "/file.bin", "/other.bin"):
        check_alike(server, target, ranged(*FEW))


def test_with_ids_of_requests_each_answer_has_another(serve: Serve, root: Path) -> None:
    server = serve(root, "--request-id")
    with server.connect() as client:
        found = set()
        for _ in range(5):
            client.get("/file.bin", "Range: bytes=7-20")
            found.add(client.read_response().fields["x-request-id"])
    assert len(found) == 5


def totals(server: ServerProcess) -> dict[str, int]:
    """Return the counters of a server that has no connection."""
    status = server.status_when(lambda found: found["connections"]["open"] == 0, "all connections are closed")
    assert (status["admission"]["express_running"], status["memory"]["kernel_send_bytes"]) == (0, 0)
    counters = {name: count for name, count in status["transfers"].items() if name.endswith("_total")}
    aborted: dict[str, int] = counters.pop("aborted_total")
    return counters | aborted


@pytest.mark.parametrize("options", [(), ("--tls-self-signed",)], ids=["clear", "tls"])
def test_the_counters_are_those_of_new_requests(serve: Serve, root: Path, options: tuple[str, ...]) -> None:
    server = serve(root, *options, admin=True)

    def counted(size: int, new: bool) -> dict[str, int]:
        """Return what five requests are counted for."""
        server.clear_log()
        before, head = totals(server), ("/file.bin", f"Range: bytes=7-{6 + size}")
        with closing(Asker(server)) as asker:
            ask = asker.ask_as_new if new else asker.ask
            for _ in range(5):
                assert content_of(ask(*head)) == CONTENT[7 : 7 + size]
            server.wait_for_log("GET", count=5)
        return {name: count - before[name] for name, count in totals(server).items()}

    for size in (14, SMALL_BYTES, SMALL_BYTES + 1, MOST_AT_ONCE, MOST_AT_ONCE + 1, MIB):
        repeated = counted(size, new=False)
        assert repeated == counted(size, new=True), size
        assert (repeated["completed_total"], repeated["bytes_total"]) == (5, 5 * size)


def test_a_clear_text_port_that_redirects_knows_no_head_of_the_other(serve: Serve, root: Path, pair: KeyPair) -> None:
    server = serve(root, *pair.flags, "--redirect-port", "0")
    asker = Asker(server)
    for _ in range(2):
        assert status_of(asker.ask("/file.bin", "Range: bytes=7-20")) == 206
    asker.close()
    with Client("127.0.0.1", server.port_with("redirecting to HTTPS")) as client:
        client.get("/file.bin", "Range: bytes=7-20")
        assert client.read_response().status == 308


def test_behind_a_proxy_the_client_of_each_request_is_logged(serve: Serve, root: Path) -> None:
    """A proxy's own request, which a LOCAL header announces, names no other client."""
    server = serve(root, "--proxy-protocol", "--trusted-proxy", "127.0.0.1")
    head = ("/file.bin", "X-Forwarded-For: 192.0.2.7", "Range: bytes=7-20")
    local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
    for header, client_named in ((local, "127.0.0.1"), (b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", "192.0.2.7")):
        with server.connect() as client:
            client.send(header)
            for _ in range(3):
                client.get(*head)
                assert client.read_response().content == CONTENT[7:21]
        server.wait_for_log(f"Z {client_named} ", count=3)
    assert len(server.log) == 6


def test_after_an_answer_to_a_known_head_a_connection_cannot_turn_to_http2(shared: ServerProcess) -> None:
    head = ("/file.bin", "Range: bytes=7-20")
    with closing(Asker(shared)) as first:
        first.ask(*head)
    with shared.connect() as client:
        client.get(*head)
        assert client.read_response().status == 206
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert client.read_response().status == 505


def test_more_heads_than_are_known(shared: ServerProcess) -> None:
    fields = [(f"X-Client: {number}", "Range: bytes=7-20") for number in range(MAX_KNOWN + 5)]
    answers = check_alike(shared, "/file.bin", fields)
    assert set(answers) == {answers[0]} and content_of(answers[0]) == CONTENT[7:21]


def test_many_clients_at_once(shared: ServerProcess) -> None:
    """Each has its own ranges of one head."""
    wrong: list[object] = []

    def read(number: int) -> None:
        with shared.connect() as client:
            for step in range(60):
                start, size = (number * 7919 + step * 104_729) % (SIZE - MIB), 1 + (step * 7 * KIB) % (300 * KIB)
                client.get("/file.bin", f"Range: bytes={start}-{start + size - 1}")
                response = client.read_response()
                if (response.status, response.content) != (206, CONTENT[start : start + size]):
                    wrong.append((number, step, response.status, response.fields))

    threads = [threading.Thread(target=read, args=(number,), daemon=True) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads) and not wrong
