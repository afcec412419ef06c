"""Write the files that pages in Chromium read, and print what they must read from them, as JSON.

Arguments: the kind, the file to write, and a seed.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import zlib
from pathlib import Path

ZOOMS = 8
"""21,845 tiles, so that the directory of an archive has leaves, which are read by further ranges."""


def colour(zoom: int, column: int, row: int, seed: int) -> tuple[int, int, int]:
    """Return the colour of a tile; no two tiles have the same."""
    return (zoom * 25 + seed) % 256, column, row


def png(pixel: tuple[int, int, int]) -> bytes:
    """Return a picture of 256 x 256 points in one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes(pixel) * 256) * 256
    head = struct.pack(">IIBBBBB", 256, 256, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def write_pmtiles(path: Path, seed: int) -> object:
    from pmtiles.tile import Compression, TileType, zxy_to_tileid
    from pmtiles.writer import Writer

    wanted = [(0, 0, 0), (3, 5, 2), (7, 127, 0), (7, 3, 99)]
    digests = {}
    with path.open("wb") as file:
        writer = Writer(file)
        for zoom in range(ZOOMS):
            # Few pictures have to be compressed: only those that are compared differ.
            common = png(colour(zoom, 1, 1, seed))
            tiles = [(column, row) for column in range(1 << zoom) for row in range(1 << zoom)]
            for identity, column, row in sorted((zxy_to_tileid(zoom, *each), *each) for each in tiles):
                content = common
                if (zoom, column, row) in wanted:
                    content = png(colour(zoom, column, row, seed))
                    digests[f"{zoom}/{column}/{row}"] = hashlib.sha256(content).hexdigest()
                # A comment after the end of the picture keeps the writer from joining equal tiles.
                writer.write_tile(identity, content if content is not common else content + identity.to_bytes(4, "big"))
        names = ("min_lon_e7", "min_lat_e7", "max_lon_e7", "max_lat_e7", "center_lon_e7", "center_lat_e7")
        places = dict(zip(names, (-1_800_000_000, -850_000_000, 1_800_000_000, 850_000_000, 0, 0), strict=True))
        header = {"tile_type": TileType.PNG, "tile_compression": Compression.NONE, "center_zoom": 0, **places}
        writer.finalize(header, {"name": f"archive {seed}"})
    return {"wanted": wanted, "digests": digests, "name": f"archive {seed}", "colour": colour(0, 0, 0, seed)}


def write_geotiff(path: Path, seed: int) -> object:
    import numpy
    import rasterio

    bands = numpy.random.default_rng(seed).integers(0, 256, (3, 1500, 2000), dtype="uint8")
    size = {"width": 2000, "height": 1500, "count": 3, "dtype": "uint8", "compress": "deflate"}
    place = {"crs": "EPSG:4326", "transform": rasterio.Affine(0.001, 0, 10, 0, -0.001, 50)}
    with rasterio.open(path, "w", driver="COG", blocksize=256, **size, **place) as file:
        file.write(bands)
    windows = [(0, (0, 0, 100, 100)), (0, (1950, 1450, 2000, 1500)), (0, (500, 300, 1500, 900)), (1, (10, 10, 300, 90))]
    digests = []
    for level, (left, top, right, bottom) in windows:
        with rasterio.open(path, **({"overview_level": level - 1} if level else {})) as file:
            points = file.read()[:, top:bottom, left:right]
            digests.append(hashlib.sha256(points.transpose(1, 2, 0).tobytes()).hexdigest())
    with rasterio.open(path) as file:
        count = 1 + len(file.overviews(1))
    return {"windows": windows, "digests": digests, "count": count}


def write_parquet(path: Path, seed: int) -> object:
    import pyarrow
    from pyarrow import csv, parquet

    rows = 100_000
    table = pyarrow.table(
        {
            "id": range(seed, rows + seed),
            "name": [f"row {number}" for number in range(rows)],
            "note": [hashlib.sha256(number.to_bytes(4, "big")).hexdigest() for number in range(rows)],
        }
    )
    parquet.write_table(table, path, row_group_size=10_000, compression="snappy")
    csv.write_csv(table, path.with_suffix(".csv"))
    read = [[number + seed, f"row {number}"] for number in range(41_990, 42_010)]
    return {"rows": rows, "read": read, "sum": sum(range(seed, rows + seed))}


WRITE = {"pmtiles": write_pmtiles, "geotiff": write_geotiff, "parquet": write_parquet}

json.dump(WRITE[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3])), sys.stdout)
