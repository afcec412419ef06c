"""Compressed forms of files, by real requests: whole, in ranges, continued, replaced, refused and hanging."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.hanging_fs import hanging_fs
from support.raw_h2 import Http2Client
from support.servers import HUGE_BYTES, Response, Serve, ServerProcess, run_python, wait_until

CONTENT = b"".join(b"%d,some text,%d\n" % (row, row * row) for row in range(20_000))
ENCODED = gzip.compress(CONTENT, 1)
ACCEPT = "Accept-Encoding: gzip, deflate, br, zstd"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "huge.csv").write_bytes(CONTENT)
    (tmp_path / "huge.csv.gz").write_bytes(ENCODED)
    (tmp_path / "alone.csv").write_bytes(CONTENT)
    return tmp_path


@pytest.fixture
def server(serve: Serve, folder: Path) -> ServerProcess:
    return serve(folder, "--precompressed")


def test_a_client_that_decodes_it_gets_the_compressed_form(server: ServerProcess) -> None:
    plain = server.get("/huge.csv")
    assert plain.content == CONTENT
    response = server.get("/huge.csv", ACCEPT)
    assert response.content == ENCODED
    assert response.fields["content-encoding"] == "gzip"
    assert response.fields["content-type"] == plain.fields["content-type"] == "text/csv"
    assert response.fields["vary"] == plain.fields["vary"] == "Accept-Encoding"
    assert response.fields["etag"] != plain.fields["etag"]
    assert "huge.csv" in response.fields["content-disposition"]
    assert server.get("/huge.csv.gz", ACCEPT).content == ENCODED
    assert "content-encoding" not in server.get("/huge.csv.gz", ACCEPT).fields
    assert server.get("/alone.csv", ACCEPT).content == CONTENT
    assert server.get("/alone.csv", ACCEPT).fields["vary"] == "Accept-Encoding"


def test_head_has_the_fields_of_get(server: ServerProcess) -> None:
    for fields in ((), (ACCEPT,), ("Accept-Encoding: identity",)):
        with server.connect() as client:
            client.get("/huge.csv", *fields, method="HEAD")
            head = client.read_response("HEAD")
        same = server.get("/huge.csv", *fields).fields
        assert {**head.fields, "date": ""} == {**same, "date": ""}


def test_without_the_option_nothing_is_negotiated(serve: Serve, folder: Path) -> None:
    response = serve(folder).get("/huge.csv", ACCEPT)
    assert response.content == CONTENT
    assert "vary" not in response.fields


def ranged(server: ServerProcess, *fields: str) -> Response:
    return server.get("/huge.csv", "Range: bytes=1000-", ACCEPT, *fields)


def test_a_client_continues_the_form_that_it_began(server: ServerProcess) -> None:
    plain, encoded = (server.get("/huge.csv", *fields) for fields in ((), (ACCEPT,)))
    alone = ranged(server)
    assert (alone.status, alone.content) == (206, CONTENT[1000:])
    rest = ranged(server, f"If-Range: {plain.fields['etag']}")
    assert (rest.status, rest.content) == (206, CONTENT[1000:])
    rest = ranged(server, f"If-Range: {encoded.fields['etag']}")
    assert (rest.status, rest.content) == (206, ENCODED[1000:])
    assert rest.fields["content-encoding"] == "gzip"
    assert rest.fields["content-range"] == f"bytes 1000-{len(ENCODED) - 1}/{len(ENCODED)}"
    whole = ranged(server, f"If-Range: {encoded.fields['last-modified']}")
    assert (whole.status, whole.content) == (200, ENCODED)


def test_a_file_that_changes_later_than_its_form_is_sent_itself(server: ServerProcess, folder: Path) -> None:
    tag = server.get("/huge.csv", ACCEPT).fields["etag"]
    (folder / "huge.csv").write_bytes(CONTENT * 2)
    later = os.stat(folder / "huge.csv.gz").st_mtime_ns + 1
    os.utime(folder / "huge.csv", ns=(later, later))
    response = ranged(server, f"If-Range: {tag}")
    assert (response.status, response.content) == (200, CONTENT * 2)
    assert server.get("/huge.csv", ACCEPT, f"If-None-Match: {tag}").status == 200


def test_a_cache_revalidates_each_form(server: ServerProcess) -> None:
    for fields in ((), (ACCEPT,)):
        tag = server.get("/huge.csv", *fields).fields["etag"]
        response = server.get("/huge.csv", *fields, f"If-None-Match: {tag}")
        assert response.status == 304
        assert response.fields["etag"] == tag
        assert response.fields["vary"] == "Accept-Encoding"


def test_other_origins_and_codings_are_both_in_vary(serve: Serve, folder: Path) -> None:
    server = serve(folder, "--precompressed", "--cors-origin", "https://a.example")
    assert server.get("/huge.csv", ACCEPT).fields["vary"] == "Accept-Encoding, Origin"


def test_a_form_that_is_replaced_while_its_request_is_queued_is_located_again(serve: Serve, folder: Path) -> None:
    (folder / "big.bin").write_bytes(bytes(HUGE_BYTES))
    form = folder / "huge.csv.gz"
    form.write_bytes(b"1" * (4 << 20))  # a smaller answer would not be queued
    server = serve(folder, "--precompressed", "--max-per-client", "1", admin=True)
    with server.start_download("/big.bin") as first, server.connect() as second:
        second.get("/huge.csv", ACCEPT)
        wait_until(lambda: server.gate()["waiting"] == 1, "the request is queued")
        form.write_bytes(b"2" * (5 << 20))
        first.reset()
        response = second.read_response()
    assert response.content == form.read_bytes()
    assert response.fields["content-encoding"] == "gzip"


def test_an_index_page_has_forms_too(serve: Serve, folder: Path) -> None:
    (folder / "index.html").write_bytes(b"<p>" * 1000)
    (folder / "index.html.gz").write_bytes(ENCODED)
    response = serve(folder, "--precompressed", "--index", "index.html", "--cache-control", "no-cache").get("/", ACCEPT)
    assert response.content == ENCODED
    assert response.fields["content-encoding"] == "gzip"
    assert response.fields["content-type"] == "text/html"
    assert response.fields["content-disposition"].startswith("inline")
    assert response.fields["cache-control"] == "no-cache"


def test_over_http2_too(server: ServerProcess) -> None:
    with Http2Client(server) as client:
        response = client.get("/huge.csv", ("accept-encoding", "gzip"))
        assert response.content == ENCODED


def test_one_file_has_the_form_beside_it(serve: Serve, folder: Path) -> None:
    server = serve(folder / "huge.csv", "--precompressed")
    assert server.get("/", ACCEPT).content == ENCODED
    assert server.get("/huge.csv.gz").status == 404


def test_a_form_on_a_file_system_that_hangs_does_not_keep_the_file(
    serve: Serve, clients: ExitStack, folder: Path
) -> None:
    (folder / "m").mkdir()
    with hanging_fs(folder / "m"):
        (folder / "alone.csv.gz").symlink_to("m/hangdir/x")
        server = serve(folder, "--precompressed", "--disk-timeout", "1s")
        waiting = clients.enter_context(server.connect())
        waiting.get("/alone.csv", ACCEPT)
        assert server.get("/huge.csv", ACCEPT).content == ENCODED, "others are served meanwhile"
        assert waiting.read_response().content == CONTENT
        assert server.get("/alone.csv").content == CONTENT


def test_what_it_needs_is_loaded_only_with_the_option() -> None:
    script = "import sys; import freight.app; import freight.runtime.build; print(*sys.modules)"
    loaded = run_python("-c", script).stdout.split()
    assert "freight.fileserver" in loaded
    assert not {"freight.precompressed", "freight.http.content_coding", "freight.sources.siblings"} & set(loaded)


@pytest.mark.needs("curl")
def test_curl_decodes_and_resumes(server: ServerProcess, tmp_path: Path) -> None:
    got, url = tmp_path / "got", f"http://127.0.0.1:{server.port}/huge.csv"
    words = ("curl", "-q", "-sS", "--noproxy", "*", "--max-time", "50", "-o", os.fspath(got), url)
    subprocess.run([*words, "--compressed"], check=True, timeout=60)
    assert got.read_bytes() == CONTENT
    for options in ((), ("--compressed",)):
        got.write_bytes(CONTENT[:5000])
        subprocess.run([*words, "-C", "-", *options], check=True, timeout=60)
        assert got.read_bytes() == CONTENT


@pytest.mark.parametrize(("program", "suffix"), [("gzip", ".gz"), ("zstd", ".zst"), ("brotli", ".br")])
def test_what_the_usual_programs_make_counts_as_current(
    server: ServerProcess, folder: Path, program: str, suffix: str
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    os.utime(folder / "alone.csv", ns=(1_700_000_000_123_456_789, 1_700_000_000_123_456_789))
    subprocess.run([program, "-k", os.fspath(folder / "alone.csv")], check=True, timeout=60, capture_output=True)
    assert server.get("/alone.csv", ACCEPT).content == (folder / f"alone.csv{suffix}").read_bytes()
