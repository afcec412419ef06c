"""Polars: lazy frames of Parquet, CSV and NDJSON, by its own HTTP. Arguments: the URL of the site, its directory."""

from __future__ import annotations

import sys
from pathlib import Path

import polars
from polars.testing import assert_frame_equal

url, folder = sys.argv[1], Path(sys.argv[2])
rows = polars.int_range(300_000, eager=True).alias("i")
frame = polars.DataFrame({"i": rows, "h": rows * 7919 % 100_003, "name": rows.cast(polars.String) + " row"})
frame.write_parquet(folder / "frame.parquet", row_group_size=20_000)
frame.write_csv(folder / "frame.csv")
frame.head(20_000).write_ndjson(folder / "frame.ndjson")

scanned = polars.scan_parquet(url + "frame.parquet")
assert_frame_equal(scanned.collect(), frame)
assert_frame_equal(scanned.select("name").collect(), frame.select("name"))
assert_frame_equal(scanned.filter(polars.col("i") == 234_567).collect(), frame.slice(234_567, 1))
assert_frame_equal(polars.read_parquet(url + "frame.parquet", columns=["h"]), frame.select("h"))
assert_frame_equal(polars.scan_csv(url + "frame.csv", schema=frame.schema).collect(), frame)
assert_frame_equal(polars.scan_ndjson(url + "frame.ndjson").collect().cast(dict(frame.schema)), frame.head(20_000))
