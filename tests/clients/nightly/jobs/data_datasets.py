"""Hugging Face datasets: Parquet and CSV, downloaded and streamed. Arguments: the URL of the site, its directory."""

from __future__ import annotations

import sys
from pathlib import Path

import datasets
import pyarrow
from pyarrow import csv, parquet

url, folder = sys.argv[1], Path(sys.argv[2])
table = pyarrow.table({"i": list(range(30_000)), "name": [f"row {number}" for number in range(30_000)]})
parquet.write_table(table, folder / "train.parquet", row_group_size=5000)
csv.write_csv(table, folder / "train.csv")
rows = table.to_pylist()

for kind in ("parquet", "csv"):
    source = {"data_files": {"train": f"{url}train.{kind}"}, "split": "train"}
    assert datasets.load_dataset(kind, **source).to_list() == rows, kind
    assert list(datasets.load_dataset(kind, streaming=True, **source)) == rows, kind
