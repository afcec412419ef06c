"""Errors of a remote file system, such as NFS without its server or after a new export: a status, or a reset."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.hanging_fs import BIG_BYTES, FAILING, SMALL, HangingFs, hanging_fs
from support.raw_h2 import Http2Client, Reset
from support.refusals import sandbox
from support.servers import IncompleteResponse, Response, Serve, ServerProcess

CUT = (ConnectionResetError, BrokenPipeError, IncompleteResponse)

GONE, FAILED, OUT_OF_REACH = errno.ESTALE, errno.EIO, errno.ETIMEDOUT

# The statuses that the reference promises (docs/reference/http.md) for a file with a size, and for one without, of
# which a byte is read before the head is sent. None: the head was sent, and the body is cut.
STATUSES: dict[tuple[str, int], tuple[int | None, int]] = {
    ("look-up", GONE): (404, 404),
    ("look-up", FAILED): (500, 500),
    ("look-up", OUT_OF_REACH): (503, 503),
    ("stat", GONE): (404, 404),
    ("stat", FAILED): (500, 500),
    ("stat", OUT_OF_REACH): (503, 503),
    ("open", GONE): (503, 404),  # it is there, and was replaced each of three times that it was opened
    ("open", FAILED): (500, 500),
    ("open", OUT_OF_REACH): (503, 503),
    ("read", GONE): (None, 404),
    ("read", FAILED): (None, 500),
    ("read", OUT_OF_REACH): (None, 503),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "m").mkdir()
    (tmp_path / "other.bin").write_bytes(b"other")
    return tmp_path


@pytest.fixture
def mounted(root: Path) -> Iterator[HangingFs]:
    with hanging_fs(root / "m") as made:
        yield made


def ask_http1(server: ServerProcess, target: str) -> Response | None:
    """Return a whole response, or None if it was cut."""
    try:
        return server.get(target)
    except CUT:
        return None


def ask_http2(server: ServerProcess, target: str) -> Response | None:
    with Http2Client(server) as client:
        try:
            return client.get(target)
        except Reset:
            return None


@pytest.mark.parametrize(
    ("call", "number"), STATUSES, ids=[f"{call} {errno.errorcode[number]}" for call, number in STATUSES]
)
def test_each_error_is_a_status_or_a_cut_body_and_never_a_body_that_looks_complete(
    serve: Serve, root: Path, mounted: HangingFs, call: str, number: int
) -> None:
    server = serve(root)
    for name, whole in (("small", SMALL), ("big", bytes(BIG_BYTES)), ("unsized", bytes(BIG_BYTES))):
        assert server.get(f"/m/{name}").content == whole
    mounted.fail(FAILING[call], number)
    sized, unsized = STATUSES[call, number]
    for name, status in (("small", sized), ("big", sized), ("unsized", unsized)):
        for ask in (ask_http1, ask_http2):
            answer = ask(server, f"/m/{name}")
            assert (None if answer is None else answer.status) == status, (name, ask)
            assert answer is None or ("retry-after" in answer.fields) == (status == 503)
    assert server.get("/other.bin").content == b"other"
    assert not [line for line in server.log if "Traceback" in line]


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, None], ids=["EIO", "ESTALE", "killed"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("name", ["big", "unsized"])
def test_a_body_is_reset_when_reads_fail_while_it_is_sent(
    serve: Serve, root: Path, mounted: HangingFs, name: str, version: str, number: int | None
) -> None:
    """In HTTP/1.0 the end of the connection would be the end of a body without a length."""
    server = serve(root)
    with server.start_download(f"/m/{name}", version=version) as client:
        if number is None:
            mounted.kill()
        else:
            mounted.fail(FAILING["read"], number)
        with pytest.raises(ConnectionResetError):
            client.read_to_end()
    assert "error: " in server.wait_for_log(f'"GET /m/{name}"')
    assert server.get("/other.bin").content == b"other"


@pytest.mark.parametrize("call", ["look-up", "stat", "open"])
def test_a_listing_has_the_entries_that_cannot_be_examined(
    serve: Serve, root: Path, mounted: HangingFs, call: str
) -> None:
    server = serve(root)
    mounted.fail(FAILING[call], errno.ESTALE)
    listing = server.get("/m/", "Accept: application/json")
    assert listing.status == 200
    assert all(f'"{name}"'.encode() in listing.content for name in ("small", "big", "unsized", "hang"))


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE], ids=["EIO", "ESTALE"])
def test_a_local_file_whose_bytes_cannot_be_read_is_cut(serve: Serve, tmp_path: Path, number: int) -> None:
    """HTTP/1 sends by sendfile(2), and HTTP/2 reads by preadv2(2)."""
    (tmp_path / "file.bin").write_bytes(bytes(1 << 20))
    server = serve(tmp_path, within=sandbox(sendfile=number, preadv2=number))
    for ask in (ask_http1, ask_http2):
        assert ask(server, "/file.bin") is None
    server.wait_for_log('"GET /file.bin"', "error: ", count=2)
