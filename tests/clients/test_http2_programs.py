"""HTTP/2 with prior knowledge and over TLS, by curl, nghttp and h2load."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from programs import LARGE_BYTES, digest, make_content, run, start, written

from support.certificates import KeyPair
from support.servers import Serve, ServerProcess, wait_until

CURL = ("curl", "-q", "-sS", "--noproxy", "*", "--max-time", "50")
GIB = 1 << 30


@dataclass(frozen=True)
class Wire:
    """A transport for HTTP/2: options of the server and of curl, and the scheme."""

    start: Serve
    flags: tuple[str, ...]
    scheme: str
    options: tuple[str, ...]

    def serve(self, path: Path) -> ServerProcess:
        return self.start(path, *self.flags)

    def url(self, served: ServerProcess, target: str = "/") -> str:
        return f"{self.scheme}://127.0.0.1:{served.port}{target}"

    def curl(self, served: ServerProcess, *options: str, within: Path, target: str = "/") -> bytes:
        ended = run(*CURL, *self.options, *options, self.url(served, target), within=within)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


@pytest.fixture(params=["h2c", "h2"])
def wire(request: pytest.FixtureRequest, serve: Serve, pair: KeyPair) -> Wire:
    if request.param == "h2c":
        return Wire(serve, (), "http", ("--http2-prior-knowledge",))
    return Wire(serve, pair.flags, "https", ("--http2", "--cacert", str(pair.cert)))


@pytest.mark.needs("curl")
def test_curl_downloads_a_large_file_and_resumes_one_that_was_cut_off(wire: Wire, there: Path, here: Path) -> None:
    expected = make_content(there / "large.bin", LARGE_BYTES)
    served = wire.serve(there / "large.bin")
    assert wire.curl(served, "-o", "whole", "-w", "%{http_version}", within=here) == b"2"
    assert digest(here / "whole") == expected
    cut = start(*CURL, *wire.options, "--limit-rate", "4M", "-o", "part", wire.url(served), within=here)
    wait_until(lambda: written(here / "part") > 1 << 20, "some of it has come")
    cut.kill()
    cut.wait(20)
    assert 0 < written(here / "part") < LARGE_BYTES
    wire.curl(served, "-C", "-", "-o", "part", within=here)
    assert digest(here / "part") == expected


@pytest.mark.needs("curl")
def test_curl_downloads_a_range_beyond_4_gib(wire: Wire, there: Path, here: Path) -> None:
    with (there / "sparse.bin").open("wb") as file:
        file.truncate(5 * GIB)
        file.seek(5 * GIB - 9)
        file.write(b"the end.\n")
    served = wire.serve(there / "sparse.bin")
    assert wire.curl(served, "-r", f"{5 * GIB - 9}-", within=here) == b"the end.\n"
    assert wire.curl(served, "-r", "-4", within=here) == b"nd.\n"
    content = wire.curl(served, "-r", f"{4 * GIB - 70_000}-{4 * GIB + 69_999}", within=here)
    assert content == bytes(140_000)


@pytest.mark.needs("curl")
@pytest.mark.parametrize(("options", "status"), [(("-I",), 200), (("-X", "POST", "-d", "x"), 405), (("-r", "9-"), 416)])
def test_curl_gets_the_status(wire: Wire, there: Path, here: Path, options: tuple[str, ...], status: int) -> None:
    (there / "small").write_bytes(b"123")
    served = wire.serve(there / "small")
    assert wire.curl(served, *options, "-o", os.devnull, "-w", "%{http_code}", within=here) == b"%d" % status


@pytest.mark.needs("nghttp")
@pytest.mark.parametrize("options", [(), ("-w14", "-W14"), ("-w30", "-W30"), ("-c0",), ("--no-dep",), ("-b40",)])
def test_nghttp_downloads_with_small_and_large_windows(
    wire: Wire, there: Path, here: Path, options: tuple[str, ...]
) -> None:
    """Also without an HPACK table, without priorities, and with padded frames."""
    expected = make_content(there / "large.bin", LARGE_BYTES // 4)
    served = wire.serve(there)
    ended = run("nghttp", *options, wire.url(served, "/large.bin"), within=here)
    assert ended.returncode == 0, ended.stderr
    assert hashlib.sha256(ended.stdout).hexdigest() == expected


@pytest.mark.needs("h2load")
@pytest.mark.parametrize("window", ["16", "24"])
def test_h2load_gets_all_responses(wire: Wire, there: Path, here: Path, window: str) -> None:
    """A hundred streams on each of four connections."""
    make_content(there / "some.bin", 250_000)
    served = wire.serve(there)
    many = ("-n800", "-c4", "-m100", f"-w{window}", f"-W{window}")
    said = run("h2load", *many, wire.url(served, "/some.bin"), within=here).stdout.decode()
    assert "800 succeeded, 0 failed, 0 errored" in said
    found = re.search(r"\((\d+)\) data", said)
    assert found is not None and int(found[1]) == 800 * 250_000


@pytest.mark.needs("curl")
@pytest.mark.parametrize("wire", ["h2"], indirect=True)
def test_curl_downloads_eight_ranges_in_parallel_over_one_connection(wire: Wire, there: Path, here: Path) -> None:
    """Over TLS only: with prior knowledge curl 7.88 fails at parallel transfers with any server."""
    expected = make_content(there / "large.bin", LARGE_BYTES)
    served = wire.serve(there / "large.bin")
    part = -(-LARGE_BYTES // 8)
    asked = []
    for number in range(8):
        first = number * part
        last = min(first + part, LARGE_BYTES) - 1
        asked += ["-:"] * bool(asked)
        asked += [*CURL[1:], *wire.options, "-w", "%{num_connects} ", "-o", f"{number}", "-r", f"{first}-{last}"]
        asked += [wire.url(served)]
    ended = run("curl", "-q", "-Z", *asked, within=here)
    assert ended.returncode == 0, ended.stderr
    assert sorted(ended.stdout.split()) == [b"0"] * 7 + [b"1"]
    whole = b"".join((here / f"{number}").read_bytes() for number in range(8))
    assert hashlib.sha256(whole).hexdigest() == expected


@pytest.mark.needs("curl")
def test_curl_downloads_256_ranges_in_one_response(wire: Wire, there: Path, here: Path) -> None:
    """More than one step of its stream sends."""
    make_content(there / "file.bin", 1 << 20)
    content = (there / "file.bin").read_bytes()
    bounds = [(first, first + 10) for first in range(0, 1 << 20, 4096)]
    ranges = ",".join(f"{first}-{stop - 1}" for first, stop in bounds)
    got = wire.curl(wire.serve(there / "file.bin"), "-r", ranges, within=here)
    parts = [part.partition(b"\r\n\r\n")[2] for part in re.split(rb"\r\n--\w+(?=\r\n|--\r\n)", got)[1:-1]]
    assert parts == [content[first:stop] for first, stop in bounds]
