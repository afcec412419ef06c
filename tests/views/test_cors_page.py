"""A page of one origin reads files of another by script, in Chromium."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from freight.http.cors import ALLOWED_FIELDS
from support.servers import HUGE_BYTES, Serve, ServerProcess

Look = Callable[..., Any]

pytestmark = pytest.mark.needs("chromium")

READ = """async ([url, headers]) => {
    try {
        const response = await fetch(url, { headers });
        const seen = ["Content-Range", "Content-Length", "ETag", "Last-Modified", "Accept-Ranges"];
        return {
            status: response.status,
            content: await response.text(),
            hidden: seen.filter((name) => response.status < 300 && !response.headers.has(name)),
        };
    } catch (error) {
        return { error: error.name };
    }
}"""


@pytest.fixture
def page_server(serve: Serve, tmp_path: Path) -> ServerProcess:
    """Serve a page, which has another origin than the data because its port is another."""
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "page.txt").write_text("a page")
    return serve(folder)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.csv").write_text("0123456789" * 10)
    return folder


def origin(server: ServerProcess) -> str:
    return f"http://127.0.0.1:{server.port}"


@pytest.mark.parametrize("everybody", [False, True])
def test_a_script_of_an_allowed_origin_reads_ranges_and_their_fields(
    serve: Serve, page_server: ServerProcess, data: Path, look: Look, everybody: bool
) -> None:
    server = serve(data, "--cors-origin", "*" if everybody else origin(page_server))
    shown = look(f"{origin(page_server)}/page.txt")

    def read(headers: dict[str, str], path: str = "/a.csv") -> Any:
        return shown.page.evaluate(READ, [origin(server) + path, headers])

    assert read({"Range": "bytes=5-9"}) == {"status": 206, "content": "56789", "hidden": []}
    etag = server.get("/a.csv").fields["etag"]
    conditions = {
        "If-Match": etag,
        "If-Range": etag,
        "If-Unmodified-Since": "Sun, 01 Jan 2090 00:00:00 GMT",
        "Authorization": "Bearer none",
        "Want-Repr-Digest": "sha-256=1",
        "Cache-Control": "no-cache",
        "Range": "bytes=0-1",
    }
    assert read(conditions)["content"] == "01"
    assert read({"Range": "bytes=500-"})["status"] == 416
    assert read({}, "/nothing")["status"] == 404
    shown.wait_for_errors("a status of 416", "a status of 404")


ALLOWED = {
    "Authorization": "Bearer none",
    "Cache-Control": "no-cache",
    "If-Match": "*",
    "If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT",
    "If-None-Match": '"another"',
    "If-Range": '"another"',
    "If-Unmodified-Since": "Sun, 01 Jan 2090 00:00:00 GMT",
    "Range": "bytes=0-0,5-6",
    "Want-Repr-Digest": "sha-256=1",
}


@pytest.mark.parametrize("everybody", [False, True])
def test_a_script_may_send_each_field_that_a_preflight_allows(
    serve: Serve, page_server: ServerProcess, data: Path, look: Look, everybody: bool
) -> None:
    """Each in a request of its own, with a preflight of its own: a field of another name is refused by the browser."""
    assert ", ".join(ALLOWED) == ALLOWED_FIELDS
    server = serve(data, "--cors-origin", "*" if everybody else origin(page_server))
    shown = look(f"{origin(page_server)}/page.txt")
    for name, value in ALLOWED.items():
        read = shown.page.evaluate(READ, [f"{origin(server)}/a.csv?{name}", {name: value}])
        assert read.get("status") == (206 if name == "Range" else 200), name
    server.wait_for_log("OPTIONS", count=len(ALLOWED))
    assert shown.page.evaluate(READ, [f"{origin(server)}/a.csv", {"X-Other": "1"}]) == {"error": "TypeError"}
    shown.wait_for_errors("x-other is not allowed", "net::ERR_FAILED")


CACHED = """async (url) => {
    const opaque = await fetch(url, { mode: "no-cors" });
    const texts = [];
    for (const cache of ["force-cache", "default", "no-cache"]) {
        const response = await fetch(url, { cache });
        texts.push([response.status, response.headers.get("ETag") !== null, await response.text()]);
    }
    return [opaque.type, texts];
}"""


@pytest.mark.parametrize("everybody", [False, True])
def test_what_the_browser_has_cached_for_one_page_can_be_read_by_another(
    serve: Serve, page_server: ServerProcess, data: Path, look: Look, everybody: bool
) -> None:
    """Without Vary a response that an image or another origin has fetched would be read, and refused, for a script.

    Both pages are of one site, whose cache they share. The last request is answered with 304.
    """
    other = serve(data.parent / "page")
    origins = f"{origin(page_server)},{origin(other)}"
    server = serve(data, "--cors-origin", "*" if everybody else origins)
    shown = look(f"{origin(page_server)}/page.txt")
    for each in (page_server, other):
        shown.page.goto(f"{origin(each)}/page.txt")
        kind, read = shown.page.evaluate(CACHED, f"{origin(server)}/a.csv")
        assert kind == "opaque" and read == [[200, True, "0123456789" * 10]] * 3
    server.wait_for_log('"GET /a.csv" 304')


def test_a_script_reads_when_to_try_again(serve: Serve, page_server: ServerProcess, data: Path, look: Look) -> None:
    (data / "big.bin").write_bytes(bytes(HUGE_BYTES))
    server = serve(data, "--cors-origin", origin(page_server), "--max-per-client", "1", "--queue-size", "0")
    shown = look(f"{origin(page_server)}/page.txt")
    ask = "async (url) => { const r = await fetch(url); return [r.status, Number(r.headers.get('Retry-After')) > 0] }"
    with server.start_download("/big.bin"):
        assert shown.page.evaluate(ask, f"{origin(server)}/big.bin?again") == [503, True]
    shown.wait_for_errors("a status of 503")


def test_a_script_of_another_origin_reads_nothing(
    serve: Serve, page_server: ServerProcess, data: Path, look: Look
) -> None:
    server = serve(data, "--cors-origin", "https://maps.example")
    shown = look(f"{origin(page_server)}/page.txt")
    for headers in ({}, {"Range": "bytes=5-9"}):
        assert shown.page.evaluate(READ, [f"{origin(server)}/a.csv", headers]) == {"error": "TypeError"}
    shown.wait_for_errors("blocked by CORS policy", "net::ERR_FAILED")
