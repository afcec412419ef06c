"""Read parts of scientific files as their libraries do.

Arguments: the kind, ``make`` or ``read``, a directory or (to read) a URL that ends with ``/``, and the scale.
``read`` prints the events of ``benchmarks/client.py``. It begins after a line of input, with all modules loaded.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Read = Callable[[str], bytes]
"""Reads from a directory or a site, and returns what it has read, or a digest of it."""

TILE_ZOOMS = 6


def make_duckdb(folder: Path, scale: int) -> None:
    import duckdb

    rows = 250_000 * scale
    columns = "i, hash(i) AS h, hash(i + 1) % 100 AS g, 'row ' || hash(i + 2) AS name"
    duckdb.execute(f"COPY (SELECT {columns} FROM range({rows}) rows(i)) TO '{folder}/t.parquet' (ROW_GROUP_SIZE 20000)")


def duckdb_reader(scale: int) -> Read:
    """A sum by groups over two of four columns, and 10 single rows, in Parquet."""
    import duckdb

    (extension,) = (file.locate() for file in files("duckdb-ext-httpfs") or () if file.suffix == ".duckdb_extension")
    base = duckdb.connect()
    base.execute(f"LOAD '{extension}'")
    picks = [random.Random(number).randrange(250_000 * scale) for number in range(10)]

    def read(where: str) -> bytes:
        table = f"read_parquet('{where}t.parquet')"
        sums = base.execute(f"SELECT g, sum(h % 1000) FROM {table} GROUP BY g ORDER BY g").fetchall()
        rows = [base.execute(f"SELECT name FROM {table} WHERE i = {pick}").fetchall() for pick in picks]
        return repr((sums, rows)).encode()

    return read


def make_gdal(folder: Path, scale: int) -> None:
    import numpy
    import rasterio

    edge = 1024 * scale
    points = numpy.random.default_rng(1).integers(0, 256, (1, edge, edge), dtype="uint8")
    place = {"crs": "EPSG:4326", "transform": rasterio.Affine(0.001, 0, 10, 0, -0.001, 50)}
    size = {"width": edge, "height": edge, "count": 1, "dtype": "uint8", "compress": "deflate"}
    with rasterio.open(folder / "cog.tif", "w", driver="COG", **size, **place) as file:
        file.write(points)


def gdal_reader(scale: int) -> Read:
    """30 windows of 300 x 300 points, and an overview, of a cloud optimized GeoTIFF, by /vsicurl/."""
    import numpy  # noqa: F401  (rasterio loads it at the first read)
    import rasterio
    from rasterio.windows import Window

    def read(where: str) -> bytes:
        dice, digest = random.Random(1), hashlib.sha256()
        name = f"/vsicurl/{where}cog.tif" if where.startswith("http") else f"{where}cog.tif"
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"), rasterio.open(name) as file:
            for _ in range(30):
                left, top = (dice.randrange(1024 * scale - 300) for _ in range(2))
                digest.update(file.read(window=Window(left, top, 300, 300)).tobytes())
            digest.update(file.read(1, out_shape=(128, 128)).tobytes())
        return digest.digest()

    return read


def make_pmtiles(folder: Path, scale: int) -> None:
    from pmtiles.tile import Compression, TileType, zxy_to_tileid
    from pmtiles.writer import Writer

    dice = random.Random(1)
    tiles = [(zoom, x, y) for zoom in range(TILE_ZOOMS) for x in range(1 << zoom) for y in range(1 << zoom)]
    with (folder / "map.pmtiles").open("wb") as file:
        writer = Writer(file)
        for identity in sorted(zxy_to_tileid(*tile) for tile in tiles):
            writer.write_tile(identity, dice.randbytes(dice.randrange(1000, 8000 * scale)))
        place = dict.fromkeys(
            ("min_lon_e7", "min_lat_e7", "max_lon_e7", "max_lat_e7", "center_lon_e7", "center_lat_e7"), 0
        )
        kind = {"tile_type": TileType.MVT, "tile_compression": Compression.NONE, "center_zoom": 0}
        writer.finalize({**kind, **place}, {})


def pmtiles_reader(scale: int) -> Read:
    """A walk of 60 views of a map with 3 x 3 tiles each, on one kept-alive connection, with directories kept."""
    from pmtiles.tile import deserialize_directory, deserialize_header, find_tile, zxy_to_tileid

    def read(where: str) -> bytes:
        dice, digest, fetch = random.Random(1), hashlib.sha256(), fetcher(where, "map.pmtiles")
        header = deserialize_header(fetch(0, 127))
        directory = cache(lambda offset, length: deserialize_directory(fetch(offset, length)))

        def tile(identity: int) -> bytes:
            offset, length = header["root_offset"], header["root_length"]
            while (entry := find_tile(directory(offset, length), identity)) and not entry.run_length:
                offset, length = header["leaf_directory_offset"] + entry.offset, entry.length
            return fetch(header["tile_data_offset"] + entry.offset, entry.length)

        for _ in range(60):
            zoom = dice.randrange(2, TILE_ZOOMS)
            left, top = (dice.randrange((1 << zoom) - 2) for _ in range(2))
            for number in range(9):
                digest.update(tile(zxy_to_tileid(zoom, left + number % 3, top + number // 3)))
        return digest.digest()

    return read


def fetcher(where: str, name: str) -> Callable[[int, int], bytes]:
    """Return what reads bytes of a file, from an offset on: of a directory, or of a site on one connection."""
    if not where.startswith("http"):
        content = Path(where, name).read_bytes()
        return lambda offset, length: content[offset : offset + length]
    site = urlsplit(where)
    link = http.client.HTTPConnection(site.netloc)

    def fetch(offset: int, length: int) -> bytes:
        link.request("GET", f"{site.path}{name}", headers={"Range": f"bytes={offset}-{offset + length - 1}"})
        return link.getresponse().read()

    return fetch


def make_zarr(folder: Path, scale: int) -> None:
    import numpy
    import zarr

    data = numpy.random.default_rng(1).integers(0, 1 << 30, (512 * scale, 1024))
    zarr.create_array(str(folder / "a.zarr"), data=data, chunks=(128, 128), shards=(512, 512))


def zarr_reader(scale: int) -> Read:
    """Half of the rows and columns of a sharded array, then 20 single rows."""
    import aiohttp  # noqa: F401  (fsspec loads it at the first request)
    import fsspec.implementations.http  # noqa: F401
    import zarr

    def read(where: str) -> bytes:
        dice, array = random.Random(1), zarr.open_array(f"{where}a.zarr", mode="r")
        half: Any = array[128 * scale : 384 * scale, 256:768]
        digest = hashlib.sha256(half.tobytes())
        for _ in range(20):
            row: Any = array[dice.randrange(512 * scale), :]
            digest.update(row.tobytes())
        return digest.digest()

    return read


KINDS: Mapping[str, tuple[Callable[[Path, int], None], Callable[[int], Read]]] = {
    "duckdb": (make_duckdb, duckdb_reader),
    "gdal": (make_gdal, gdal_reader),
    "pmtiles": (make_pmtiles, pmtiles_reader),
    "zarr": (make_zarr, zarr_reader),
}


def main() -> None:
    kind, action, where, scale = *sys.argv[1:4], int(sys.argv[4])
    make, reader = KINDS[kind]
    if action == "make":
        make(Path(where), scale)
        return
    read = reader(scale)
    print(json.dumps({"event": "begin"}), flush=True)
    sys.stdin.readline()
    begin = time.monotonic()
    found = read(where)
    seconds = time.monotonic() - begin
    print(json.dumps({"event": "end", "seconds": seconds, "digest": hashlib.sha256(found).hexdigest()}), flush=True)


main()
