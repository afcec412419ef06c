"""Libraries that read parts of data files in a web page: Chromium loads them from one origin, the data from another.

A module of ``pages/`` reads, and returns what it has read. ``jobs/make_page_data.py`` writes the files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from film import SECONDS, make_film

from support.page_server import page_server
from support.processes import run
from support.real_clients import BROWSER_PACKAGES, PYTHON
from support.servers import TIMEOUT_SECONDS, Serve, ServerProcess, find_program

HERE = Path(__file__).parent
# Tiles are drawn without a graphics card. Root has no sandbox.
FLAGS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture(scope="module")
def page_port() -> Iterator[int]:
    """Serve the pages and the libraries."""
    with page_server({"pages": HERE / "pages", "packages": BROWSER_PACKAGES}) as port:
        yield port


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start Chromium. Not for longer than a module: while playwright runs its event loop, no other test can."""
    from playwright.sync_api import sync_playwright  # only the slow and the nightly tests have it

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_program("chromium"), args=[*FLAGS])
        yield chromium
        chromium.close()


class Site:
    """A page of one origin, and data that freight serves from another."""

    def __init__(self, page: Any, origin: str, folder: Path, serve: Serve) -> None:
        self.page = page
        self.folder = folder
        self.server: ServerProcess = serve(folder, "--cors-origin", origin)

    def url(self, name: str = "") -> str:
        """Return the address of a file."""
        return f"http://127.0.0.1:{self.server.port}/{name}"

    def job(self, name: str, *words: object) -> Any:
        """Return what a module of ``pages/`` returns for these arguments."""
        return self.page.evaluate("(words) => job(...words)", [name, *words])

    def make(self, kind: str, name: str, seed: int = 1) -> Any:
        """Write a file to serve. Return what must be read from it."""
        done = run(PYTHON, HERE / "jobs" / "make_page_data.py", kind, self.folder / name, str(seed), seconds=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def assert_only_ranges(self, name: str) -> None:
        """Check that the file was read in ranges, and never as a whole.

        For a range that it has read before, the browser asks whether its copy is current: 304.
        """
        statuses = {line.partition('" ')[2][:3] for line in self.server.log if f'"GET /{name}"' in line}
        assert "206" in statuses <= {"206", "304"}, self.server.log


@pytest.fixture
def site(browser: Any, page_port: int, there: Path, serve: Serve) -> Iterator[Site]:
    """Open the page. Fail if it has logged an error."""
    origin = f"http://localhost:{page_port}"
    context = browser.new_context()
    context.set_default_timeout(TIMEOUT_SECONDS * 1000)
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"{origin}/pages/index.html")
    yield Site(page, origin, there, serve)
    context.close()
    assert wrong == []


@pytest.mark.needs("pmtiles")
def test_pmtiles_reads_tiles_and_notices_that_the_archive_was_replaced(site: Site) -> None:
    """By the ETag, which a script can read only if it is exposed."""
    made = site.make("pmtiles", "world.pmtiles")
    first = site.job("pmtiles", site.url("world.pmtiles"), made["wanted"])
    assert first["digests"] == made["digests"] and first["name"] == made["name"]
    site.assert_only_ranges("world.pmtiles")
    new = site.make("pmtiles", "new", seed=2)
    (site.folder / "new").rename(site.folder / "world.pmtiles")
    second = site.job("pmtiles", site.url("world.pmtiles"), [*made["wanted"], [2, 1, 1]], True)
    assert second["digests"].items() > new["digests"].items()


@pytest.mark.needs("geotiff", "rasterio")
@pytest.mark.parametrize("ranges_at_once", [0, 6])
def test_geotiff_reads_windows_and_an_overview(site: Site, ranges_at_once: int) -> None:
    made = site.make("geotiff", "cog.tif")
    read = site.job("geotiff", site.url("cog.tif"), made["windows"], ranges_at_once)
    assert read == {"count": made["count"], "digests": made["digests"]}
    site.assert_only_ranges("cog.tif")


@pytest.mark.needs("hyparquet", "pyarrow")
def test_hyparquet_reads_columns_and_rows(site: Site) -> None:
    made = site.make("parquet", "table.parquet")
    read = site.job("hyparquet", site.url("table.parquet"), 41_990, 42_010)
    assert read == {"rows": made["rows"], "read": made["read"]}
    site.assert_only_ranges("table.parquet")


@pytest.mark.needs("duckdb-wasm", "pyarrow")
def test_duckdb_queries_a_file_by_its_address(site: Site) -> None:
    """CSV only: for Parquet it loads an extension from its makers' server."""
    made = site.make("parquet", "table.parquet")
    counted = f"SELECT count(*)::INT AS rows, sum(id)::DOUBLE AS sum FROM '{site.url('table.csv')}'"
    first = f"SELECT name FROM '{site.url('table.csv')}' LIMIT 1"
    ((totals,), (row,)) = site.job("duckdb", counted, first)
    assert totals == {"rows": made["rows"], "sum": made["sum"]}
    assert row == {"name": "row 0"}
    site.assert_only_ranges("table.csv")


@pytest.mark.needs("hls.js", "ffmpeg")
@pytest.mark.parametrize("name", ["segments.m3u8", "one.m3u8"])
def test_hls_plays_from_a_position(site: Site, name: str) -> None:
    make_film(site.folder)
    assert site.job("hls", site.url(name), 13.5) == {"duration": SECONDS, "width": 640, "height": 360}


@pytest.mark.needs("ffmpeg")
def test_a_video_of_another_origin_seeks_and_can_be_drawn(site: Site) -> None:
    make_film(site.folder)
    assert site.job("video", site.url("film.mp4"), [13.5, 1, 19]) == {"duration": SECONDS, "different": 3}
    site.assert_only_ranges("film.mp4")


@pytest.mark.needs("maplibre-gl", "pmtiles")
def test_maplibre_draws_tiles_of_an_archive(site: Site) -> None:
    made = site.make("pmtiles", "world.pmtiles")
    drawn = site.job("maplibre", site.url("world.pmtiles"), [0, 0], 0)
    assert drawn == [*made["colour"], 255]
    site.assert_only_ranges("world.pmtiles")
