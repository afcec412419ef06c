"""GDAL, by rasterio: windows and overviews of a cloud optimized GeoTIFF.

Arguments: the URL of the site, its directory.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy
import rasterio
from rasterio.windows import Window

url, folder = sys.argv[1], Path(sys.argv[2])
bands = numpy.random.default_rng(1).integers(0, 256, (3, 3000, 4000), dtype="uint8")
size = {"width": 4000, "height": 3000, "count": 3}
place = {"crs": "EPSG:4326", "transform": rasterio.Affine(0.001, 0, 10, 0, -0.001, 50)}
with rasterio.open(folder / "cog.tif", "w", driver="COG", dtype="uint8", compress="deflate", **size, **place) as file:
    file.write(bands)

fast = {
    "GDAL_HTTP_MULTIRANGE": "YES",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
}
for options in ({}, fast):
    with rasterio.Env(GDAL_HTTP_TIMEOUT=60, **options), rasterio.open(f"/vsicurl/{url}cog.tif") as file:
        for left, top, width, height in ((0, 0, 100, 100), (3900, 2900, 100, 100), (1000, 700, 1500, 1200)):
            window = file.read(window=Window(left, top, width, height))
            assert (window == bands[:, top : top + height, left : left + width]).all(), (left, top)
        with rasterio.open(folder / "cog.tif") as local:
            assert file.overviews(1) == local.overviews(1) != []
            assert (file.read(1, out_shape=(375, 500)) == local.read(1, out_shape=(375, 500))).all()
        assert (file.read() == bands).all()
