"""Compressed forms of files in Chromium: decoded for scripts, revalidated, never in ranges, saved decoded."""

from __future__ import annotations

import gzip
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.servers import Serve, ServerProcess

Look = Callable[..., Any]

pytestmark = pytest.mark.needs("chromium")

TEXT = "".join(f"{row},{row * row}\n" for row in range(50_000))
ENCODED = gzip.compress(TEXT.encode())

READ = """async ([url, headers, cache]) => {
    const response = await fetch(url, { headers, cache });
    const length = response.headers.get("Content-Length");
    return { status: response.status, length: Number(length), content: await response.text(),
             coding: response.headers.get("Content-Encoding") };
}"""
PLAY = """(url) => new Promise((resolve) => {
    const sound = new Audio(url);
    sound.onloadedmetadata = () => resolve(sound.duration);
    sound.onerror = () => resolve(sound.error.message);
    document.body.append(sound);
})"""


@pytest.fixture
def server(serve: Serve, tmp_path: Path) -> ServerProcess:
    (tmp_path / "page.txt").write_text("a page")
    (tmp_path / "huge.csv").write_text(TEXT)
    (tmp_path / "huge.csv.gz").write_bytes(ENCODED)
    with wave.open(str(tmp_path / "tone.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(8000 * 2 * 3))
    (tmp_path / "tone.wav.gz").write_bytes(gzip.compress((tmp_path / "tone.wav").read_bytes()))
    return serve(tmp_path, "--precompressed")


def test_a_browser_decodes_the_form_and_gets_ranges_of_the_file(server: ServerProcess, look: Look) -> None:
    page = look(f"http://127.0.0.1:{server.port}/page.txt").page

    def read(headers: dict[str, str], cache: str = "default") -> Any:
        return page.evaluate(READ, ["/huge.csv", headers, cache])

    whole = {"status": 200, "length": len(ENCODED), "content": TEXT, "coding": "gzip"}
    assert read({}) == whole
    assert read({}, "no-cache") == whole
    server.wait_for_log('"GET /huge.csv" 304')
    part = read({"Range": "bytes=1000-1999"}, "no-store")
    assert part == {"status": 206, "length": 1000, "content": TEXT[1000:2000], "coding": None}


def test_a_media_element_plays_the_file_itself(server: ServerProcess, look: Look) -> None:
    page = look(f"http://127.0.0.1:{server.port}/page.txt").page
    assert page.evaluate(PLAY, "/tone.wav") == 3


def test_a_saved_file_is_decoded(server: ServerProcess, look: Look) -> None:
    page = look(f"http://127.0.0.1:{server.port}/page.txt", downloads=True).page
    with page.expect_download() as saving:
        page.evaluate("() => { location.href = '/huge.csv' }")
    assert saving.value.suggested_filename == "huge.csv"
    assert Path(saving.value.path()).read_text() == TEXT
