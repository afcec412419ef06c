"""DuckDB: Parquet and CSV by SQL, with its extension httpfs. Arguments: the URL of the site, its directory.

The package duckdb-ext-httpfs has the extension as DuckDB signed it, and DuckDB checks the signature.
"""

from __future__ import annotations

import sys
from importlib.metadata import files
from pathlib import Path

import duckdb

url, folder = sys.argv[1], Path(sys.argv[2])
(extension,) = (file.locate() for file in files("duckdb-ext-httpfs") or () if file.suffix == ".duckdb_extension")
base = duckdb.connect()
base.execute(f"LOAD '{extension}'")
base.execute("CREATE TABLE made AS SELECT i, hash(i) AS h, 'row ' || i AS name FROM range(400000) rows(i)")
base.execute(f"COPY made TO '{folder}/made.parquet' (ROW_GROUP_SIZE 20000)")
base.execute(f"COPY made TO '{folder}/made.csv'")

for source in (f"read_parquet('{url}made.parquet')", f"read_csv('{url}made.csv')"):
    differ = f"(FROM made EXCEPT FROM {source}) UNION ALL (FROM {source} EXCEPT FROM made)"
    assert base.execute(f"SELECT count(*) FROM ({differ})").fetchone() == (0,), source
    assert base.execute(f"SELECT count(*) FROM {source}").fetchone() == (400_000,), source
one = f"SELECT h, name FROM read_parquet('{url}made.parquet') WHERE i = 345678"
assert base.execute(one).fetchone() == base.execute("SELECT h, name FROM made WHERE i = 345678").fetchone()
base.execute(f"ATTACH '{folder}/made.duckdb' AS stored")
base.execute("CREATE TABLE stored.made AS FROM made")
base.execute("DETACH stored")
base.execute(f"ATTACH '{url}made.duckdb' AS remote (READ_ONLY)")
assert base.execute("SELECT count(*) FROM (FROM made EXCEPT FROM remote.made)").fetchone() == (0,)
