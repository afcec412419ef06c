#!/usr/bin/env python3
"""A query of DuckDB as an Arrow stream and as Parquet, of any size from little memory, streamed while it is downloaded.

usage: export_duckdb.py PORT DATABASE

  pip install freight duckdb pyarrow
  ./export_duckdb.py 8080 lab.duckdb
  curl --remote-name --remote-header-name localhost:8080/measurements.parquet
  python -c 'import polars; print(polars.read_ipc_stream("http://localhost:8080/measurements.arrows"))'

A batch of rows is computed only when the client has taken those before it. When a client goes, the query ends.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import duckdb
import pyarrow
import pyarrow.parquet

import freight

QUERY = "SELECT * FROM measurements"
BATCH_ROWS = 4096
LIMITS = {"memory_limit": "32MB", "threads": 1}  # DuckDB keeps pages of its file up to the limit: 80% of all memory


class Pieces:
    """A file that only grows, for a writer of Arrow or Parquet; what was written is taken away again."""

    closed = False

    def __init__(self) -> None:
        self._written = bytearray()
        self._size = 0

    def write(self, data: bytes) -> int:
        """Append bytes."""
        self._written += data
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        """Return how many bytes were written in all."""
        return self._size

    def flush(self) -> None:
        """Do nothing."""

    def take(self) -> bytes:
        """Return what was written since the last call."""
        taken = bytes(self._written)
        self._written.clear()
        return taken


def export(database: str, writer: Any, rows: int) -> Iterator[bytes]:
    """Yield the result of a query, as ``writer`` writes it, after every ``rows`` rows. Closing it ends the query.

    ``db.sql(...)`` streams its result. ``db.execute(...)`` would compute all of it first.
    """
    with duckdb.connect(database, read_only=True, config=LIMITS) as db:
        batches = db.sql(QUERY).to_arrow_reader(rows)
        pieces = Pieces()
        with writer(pieces, batches.schema) as written:
            for batch in batches:
                written.write_batch(batch)
                yield pieces.take()
        yield pieces.take()


def main(port: int, database: str) -> None:
    """Serve both exports until the program is interrupted."""
    arrow = partial(export, database, pyarrow.ipc.new_stream, BATCH_ROWS)
    parquet = partial(export, database, pyarrow.parquet.ParquetWriter, 8 * BATCH_ROWS)  # a row group each
    routes = {
        "/measurements.arrows": freight.Stream(arrow, "application/vnd.apache.arrow.stream", "measurements.arrows"),
        "/measurements.parquet": freight.Stream(parquet, "application/vnd.apache.parquet", "measurements.parquet"),
    }
    with freight.Server(routes=routes, port=port).start() as server:
        print(*(server.url + path[1:] for path in routes), sep="\n", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(int(sys.argv[1]), sys.argv[2])
