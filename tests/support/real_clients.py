"""The clients of the nightly tests: programs of Debian, Python packages, and libraries for browsers.

``./scripts/test --nightly`` installs them: the programs by ``scripts/apt``, the Python packages into .venv-clients by
``scripts/setup clients``, and the libraries into .browser-clients by ``scripts/browser-clients``.
A test names the clients that it needs: ``@pytest.mark.needs("lftp")``, ``@pytest.mark.needs("fsspec")``.
./scripts/clients writes docs/reference/clients.md from this table and from the versions that are installed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "reference" / "clients.md"
START, END = "<!-- clients -->\n", "<!-- /clients -->\n"
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
"""The interpreter that runs Python clients."""

BROWSER_PACKAGES = ROOT / ".browser-clients" / "node_modules"
"""The libraries that pages in Chromium load."""


@dataclass(frozen=True, slots=True)
class RealClient:
    """A program, or a library, that downloads from freight.

    ``package``: its package in Debian; None for a Python package in tests/clients/requirements.txt, and for a library
    that Chromium runs. ``npm``: the package of such a library in tests/clients/browser/package.json.
    ``does``: what the tests let it do. ``version``: the option by which a program prints its version.
    ``everywhere``: the fast tests have it too, so a test that needs it is not a nightly one.
    """

    name: str
    package: str | None
    does: str
    version: str = "--version"
    everywhere: bool = False
    npm: str = ""


LIBRARY = "whole files, ranges, a resumed download, preconditions, 20 requests at once"
SECURE_2 = f"{LIBRARY}; HTTP/1.1, and HTTP/2 over TLS"
CLIENTS = (
    RealClient("aiohttp", None, LIBRARY),
    RealClient("apt-get", "apt", "a flat repository, and one with `dists/` and `by-hash/`", everywhere=True),
    RealClient("aria2c", "aria2", "8 connections for a file, resumed downloads", everywhere=True),
    RealClient("chromium", "chromium", "pages of another origin: `fetch`, `<video crossorigin>`", everywhere=True),
    RealClient("curl", "curl", f"{SECURE_2}; `--parallel`", everywhere=True),
    RealClient("datasets", None, "Hugging Face datasets of Parquet and CSV, downloaded and streamed"),
    RealClient("duckdb", None, "Parquet, CSV and database files by SQL, with `httpfs`"),
    RealClient("duckdb-wasm", None, "in Chromium: CSV files by SQL", npm="@duckdb/duckdb-wasm"),
    RealClient("ffmpeg", "ffmpeg", "MP4 and HLS, from the start and from a position", "-version"),
    RealClient("fsspec", None, "files with each kind of cache, ranges, listings"),
    RealClient("geotiff", None, "in Chromium: windows and overviews of a cloud optimized GeoTIFF", npm="geotiff"),
    RealClient("git", "git", "clone and pull over dumb HTTP, loose objects and packs", everywhere=True),
    RealClient("go", "golang-go", f"`net/http`: {SECURE_2}", "version"),
    RealClient("h5py", None, "slices of chunked HDF5, through fsspec"),
    RealClient("hls.js", None, "in Chromium: plays from the start and from a position", npm="hls.js"),
    RealClient("httpx", None, SECURE_2),
    RealClient("hyparquet", None, "in Chromium: columns and rows of a Parquet file", npm="hyparquet"),
    RealClient("java", "default-jdk-headless", f"`java.net.http`: {SECURE_2}"),
    RealClient("lftp", "lftp", "`pget` in 5 parts, `mirror` of a tree"),
    RealClient("maplibre-gl", None, "in Chromium: a map of tiles from a PMTiles archive", npm="maplibre-gl"),
    RealClient("mpv", "mpv", "MP4 and HLS, from the start and from a position"),
    RealClient("node", "nodejs", f"`fetch`: {LIBRARY}; `http2`: the same, with and without TLS"),
    RealClient("obstore", None, "whole objects, ranges, streams and preconditions of `object_store`"),
    RealClient("ostree", "ostree", "pull of a repository in archive mode, and of a static delta"),
    RealClient("pip", None, "`--find-links` with a listing, and hashes"),
    RealClient("pmtiles", None, "in Chromium: tiles of an archive, also of one that is replaced", npm="pmtiles"),
    RealClient("polars", None, "lazy frames of Parquet, CSV and NDJSON"),
    RealClient("pyarrow", None, "columns and row groups of Parquet, IPC and CSV files, through fsspec"),
    RealClient("rasterio", None, "GDAL's `/vsicurl/`: windows and overviews of a cloud optimized GeoTIFF"),
    RealClient("rclone", "rclone", "a file in 5 parts, copy of a tree"),
    RealClient("requests", None, LIBRARY),
    RealClient("urllib3", None, LIBRARY),
    RealClient("wget", "wget", "resumed downloads, dates, copy of a tree", everywhere=True),
    RealClient("wget2", "wget2", "a file in parts, copy of a tree"),
    RealClient("zarr", None, "chunks and shards of formats 2 and 3, through fsspec"),
    RealClient("zckdl", "zchunk", "only the chunks that changed, in multi-range requests"),
    RealClient("zsync", "zsync", "only the blocks that changed", "-V"),
)
NIGHTLY = frozenset(client.name for client in CLIENTS if not client.everywhere)
PYTHON_PACKAGES = frozenset(client.name for client in CLIENTS if client.package is None and not client.npm)
BROWSER_LIBRARIES = {client.name: client.npm for client in CLIENTS if client.npm}


def package_version(name: str) -> str | None:
    """Return the version of a Python package in .venv-clients, or None if it is not there."""
    found = list((PYTHON.parent.parent / "lib").glob(f"python*/site-packages/{name}-*.dist-info"))
    return found[0].name.removesuffix(".dist-info").partition("-")[2] if found and PYTHON.exists() else None


def library_version(package: str) -> str | None:
    """Return the version of a library in .browser-clients, or None if it is not there."""
    description = BROWSER_PACKAGES / package / "package.json"
    return str(json.loads(description.read_bytes())["version"]) if description.exists() else None


def version(client: RealClient) -> str:
    """Return the version of an installed client. Raise OSError if it is not installed."""
    if client.npm:
        return library_version(client.npm) or ""
    if client.package is None:
        return package_version(client.name) or ""
    done = subprocess.run([client.name, client.version], capture_output=True, text=True, timeout=60, check=False)
    (found, *_) = re.findall(r"\d+(?:\.\d+)+", done.stdout + done.stderr)
    return str(found)


def write_page() -> None:
    """Write the table of docs/reference/clients.md, with the versions that are installed here."""
    rows = (f"| {client.name} | {version(client)} | {client.does} |\n" for client in CLIENTS)
    table = f"{START}| client | version | what it does in the tests |\n|---|---|---|\n{''.join(rows)}"
    before, _, after = PAGE.read_text(encoding="utf-8").partition(START)
    PAGE.write_text(before + table + END + after.partition(END)[2], encoding="utf-8")


def main() -> None:
    """Print the programs for scripts/test, as ``PROGRAM:PACKAGE`` each; with ``page``, write the page instead."""
    if sys.argv[1:] == ["page"]:
        write_page()
    else:
        print(*(f"{client.name}:{client.package}" for client in CLIENTS if client.package))


if __name__ == "__main__":
    main()
