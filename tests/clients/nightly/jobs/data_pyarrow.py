"""PyArrow: columns and row groups of Parquet, IPC and CSV files. Arguments: the URL of the site, its directory."""

from __future__ import annotations

import sys
from pathlib import Path

import fsspec
import numpy
import pyarrow
from pyarrow import csv, dataset, feather, fs, parquet

url, folder = sys.argv[1], Path(sys.argv[2])
made = numpy.random.default_rng(1)
columns = {f"c{number}": made.integers(0, 1 << 40, 300_000) for number in range(6)}
table = pyarrow.table(columns | {"name": [f"row {number}" for number in range(300_000)]})
parquet.write_table(table, folder / "table.parquet", row_group_size=20_000, compression="zstd")
feather.write_feather(table, folder / "table.arrow")
csv.write_csv(table.slice(0, 50_000), folder / "table.csv")

remote = fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem("http")))
assert parquet.read_table(url + "table.parquet", filesystem=remote).equals(table)
assert parquet.read_table(url + "table.parquet", filesystem=remote, columns=["c2", "name"]).equals(
    table.select(["c2", "name"])
)
with remote.open_input_file(url + "table.parquet") as opened:
    file = parquet.ParquetFile(opened, pre_buffer=True)
    assert file.read_row_group(7).equals(table.slice(140_000, 20_000))
found = dataset.dataset(url + "table.parquet", filesystem=remote, format="parquet")
assert found.to_table(filter=dataset.field("name") == "row 123456").equals(table.slice(123_456, 1))
with remote.open_input_file(url + "table.arrow") as opened:
    assert feather.read_table(opened, columns=["c5"]).equals(table.select(["c5"]))
with remote.open_input_stream(url + "table.csv") as opened:
    assert csv.read_csv(opened).equals(table.slice(0, 50_000))
